import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Configuration } from '../../cli/config.js'
import type { Role } from '../../cli/config-schema.js'
import { connectors } from '../../cli/connectors.js'
import { openRuntime, type Runtime, type RuntimeOptions } from '../../cli/runtime.js'

export interface Running {
  readonly runtime: Runtime
  /** Resolves once edges can reach its gateway; rejects where it ended. */
  readonly reachable: Promise<void>
  stop(): Promise<void>
}

/** Provinces and edges in this process, with a folder of their own; `end` stops what still runs. */
export class RunningPlaces {
  private readonly stops: (() => Promise<void>)[] = []

  private constructor(readonly folder: string) {}

  static async open(): Promise<RunningPlaces> {
    return new RunningPlaces(await mkdtemp(join(tmpdir(), 'hutong-edge-test-')))
  }

  /** `name` is the folder of its data: started again under it, a place goes on with what it has. */
  async run(
    name: string,
    roles: readonly Role[],
    more: object,
    options: Partial<RuntimeOptions> = {},
  ): Promise<Running> {
    const configuration = { environment: 'test', dataDir: join(this.folder, name), logLevel: 'silent', ...more }
    let gatewayListening = (): void => undefined
    const listening = new Promise<void>((resolve) => (gatewayListening = resolve))
    const runtime = await openRuntime({
      gatewayListening: () => gatewayListening(),
      connectors,
      roles,
      configuration: configuration as unknown as Configuration,
      ...options,
    })
    const aborter = new AbortController()
    const running = runtime.run(aborter.signal)
    const reachable = Promise.race([listening, running])
    reachable.catch(() => undefined)
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> =>
      (stopped ??= (aborter.abort(), running.catch(() => undefined).then(() => runtime.close())))
    this.stops.push(stop)
    return { runtime, reachable, stop }
  }

  /** Called at the end, the last first. */
  atEnd(stop: () => Promise<void>): void {
    this.stops.push(stop)
  }

  async end(): Promise<void> {
    for (const stop of this.stops.splice(0).reverse()) await stop()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Numbers of the ledger that have a receipt, by feed, in order; waits until there are so many, or 150 s. */
export async function settledNumbers({ database }: Runtime, count: number): Promise<Record<string, number[]>> {
  const end = Date.now() + 150_000
  for (;;) {
    const rows = await database!.transaction((tx) =>
      tx.query<{ feed: string; seq: string | number }>(
        'SELECT DISTINCT f.name AS feed, r.seq FROM receipt r JOIN feed f ON f.id = r.feed_id ORDER BY 1, 2',
      ),
    )
    if (rows.length >= count || Date.now() > end) {
      const byFeed: Record<string, number[]> = {}
      for (const { feed, seq } of rows) (byFeed[feed] ??= []).push(Number(seq))
      return byFeed
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
