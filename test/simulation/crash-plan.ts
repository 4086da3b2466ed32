import { Random } from '../../cli/demo/random.js'

/** One thing that goes wrong. */
export interface CrashAction {
  /** SIGKILL of a process; of the receiver while its unsynced writes are lost with it; of the broker. */
  readonly kind: 'kill' | 'power-cut' | 'broker-kill'
  /** The process it hits; 'broker' for the broker. */
  readonly target: string
  /** Pause after the action before, ms. */
  readonly afterMs: number
  /** Messages that the receiver acknowledges before it is hit, where it is the target. */
  readonly afterMessages: number
  /** How long a broker stays down before it is started again, ms. */
  readonly downMs: number
}

export interface CrashPlanOptions {
  readonly seed: number
  /** Names of the processes that are killed in turn. */
  readonly processes: readonly string[]
  /** The one among them that holds the spool. */
  readonly receiver: string
  readonly kills: number
  readonly powerCuts: number
  readonly brokerKills: number
  /** Shortest and longest pause between two actions, ms. */
  readonly gapMs: readonly [number, number]
}

/** What is killed, in which order and with which pauses: the same seed, the same plan. */
export function crashPlan(options: CrashPlanOptions): readonly CrashAction[] {
  const { seed, processes, receiver, kills, powerCuts, brokerKills, gapMs } = options
  const random = new Random(seed, 'crashes')
  const pick = (index: number): string => processes[index % processes.length] ?? receiver
  const hits: Pick<CrashAction, 'kind' | 'target'>[] = [
    ...Array.from({ length: kills }, (_, index) => ({ kind: 'kill' as const, target: pick(index) })),
    ...Array.from({ length: powerCuts }, () => ({ kind: 'power-cut' as const, target: receiver })),
  ]
  shuffle(hits, random)
  // The broker dies once in each of as many equal stretches, so that every outage ends within the campaign.
  const stretch = Math.floor(hits.length / Math.max(1, brokerKills))
  for (let number = brokerKills - 1; number >= 0; number--) {
    const at = number * stretch + random.integer(1, Math.max(1, stretch - 2))
    hits.splice(at, 0, { kind: 'broker-kill', target: 'broker' })
  }
  return hits.map((hit) => ({
    ...hit,
    afterMs: random.integer(gapMs[0], gapMs[1]),
    afterMessages: random.integer(1, 200),
    downMs: random.integer(200, 3000),
  }))
}

function shuffle<T>(values: T[], random: Random): void {
  for (let last = values.length - 1; last > 0; last--) {
    const other = random.integer(0, last)
    ;[values[last], values[other]] = [values[other]!, values[last]!]
  }
}
