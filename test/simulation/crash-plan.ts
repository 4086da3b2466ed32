import { Random } from '../../cli/demo/random.js'

/** One thing that goes wrong. */
export interface CrashAction {
  /** SIGKILL of a process; of a receiver while its unsynced writes are lost with it; of the broker; the line cut. */
  readonly kind: 'kill' | 'power-cut' | 'broker-kill' | 'wan-drop' | 'wan-blackhole'
  /** The process it hits; 'broker' for the broker, 'wan' for the line to the gateways. */
  readonly target: string
  /** Pause after the action before, ms. */
  readonly afterMs: number
  /** Messages that the receivers acknowledge before one of them is hit. */
  readonly afterMessages: number
  /** How long a broker or the line stays down, ms. */
  readonly downMs: number
}

export interface CrashPlanOptions {
  readonly seed: number
  /** Names of the processes that are killed in turn. */
  readonly processes: readonly string[]
  /** Those among them that hold a spool. */
  readonly receivers: readonly string[]
  readonly kills: number
  readonly powerCuts: number
  readonly brokerKills: number
  /** Of the line to the gateways, by turns dropped and a black hole (default 0). */
  readonly wanCuts?: number
  /** Shortest and longest pause between two actions, ms. */
  readonly gapMs: readonly [number, number]
}

/** What is killed, in which order and with which pauses: the same seed, the same plan. */
export function crashPlan(options: CrashPlanOptions): readonly CrashAction[] {
  const { seed, processes, receivers, kills, powerCuts, brokerKills, wanCuts = 0, gapMs } = options
  const random = new Random(seed, 'crashes')
  const pick = (names: readonly string[], index: number): string => names[index % names.length] ?? ''
  const hits: Pick<CrashAction, 'kind' | 'target'>[] = [
    ...Array.from({ length: kills }, (_, index) => ({ kind: 'kill' as const, target: pick(processes, index) })),
    ...Array.from({ length: powerCuts }, (_, index) => ({
      kind: 'power-cut' as const,
      target: pick(receivers, index),
    })),
    ...Array.from({ length: wanCuts }, (_, index) => ({
      kind: index % 2 === 0 ? ('wan-drop' as const) : ('wan-blackhole' as const),
      target: 'wan',
    })),
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
