import type { Database } from '../repository/database.js'

/**
 * A database that is opened when it is first used, and tried again at each use until it is there: what needs it fails
 * with RetryableError meanwhile, everything else of the process goes on.
 */
export function lateDatabase(open: () => Promise<Database>): Database {
  let opening: Promise<Database> | undefined
  let opened: Database | undefined
  const get = (): Promise<Database> => {
    opening ??= open().then(
      (database) => (opened = database),
      (error: unknown) => {
        opening = undefined
        throw error
      },
    )
    return opening
  }
  return {
    kind: 'postgresql',
    transaction: async (work) => (await get()).transaction(work),
    async close() {
      await opening?.catch(() => undefined)
      await opened?.close()
    },
  }
}
