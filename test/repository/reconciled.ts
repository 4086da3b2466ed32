import { pause } from '../../core/pause.js'
import type { Database } from '../../repository/database.js'
import { reconcile, type Reconciliation } from '../../repository/reconcile.js'

/** What reconcile says with no time of grace, once it is balanced, or after a minute: the archive follows the receipts. */
export async function reconciled(database: Database): Promise<Reconciliation> {
  const end = Date.now() + 60_000
  for (;;) {
    const found = await reconcile(database, { now: Date.now(), graceMs: 0 })
    if (found.balanced || Date.now() > end) return found
    await pause(100)
  }
}
