/** One message of a feed as the ledger holds it. */
export interface Observation {
  readonly epoch: number
  /** Dense number that the spool gave on receipt. */
  readonly seq: number
  /** MSH-10 or its like. */
  readonly controlId: string | null
  /** Tells the same bytes from others. */
  readonly messageId: string
  /** ms since 1970-01-01T00:00:00Z */
  readonly receivedAt: number
}

/** What is wrong with a feed's numbering, in counts only. `at`: receipt of the newest message that shows it, ms. */
export interface SequenceFaults {
  /** Whether the sender numbers its messages without gaps as a habit; where it does not, nothing is said. */
  readonly dense: boolean
  readonly gaps?: { readonly gaps: number; readonly missing: number; readonly at: number }
  readonly repeats?: { readonly repeats: number; readonly at: number }
}

const stepsMin = 50
const denseShareMin = 0.9
/** Several connections of one sender overtake each other by less than this. */
const overtakingMax = 100
/** A counter back at its first number has started anew, however little it had counted. */
const firstNumber = 1
const countedMin = 10
/** A leap beyond this is a new numbering, not that many lost messages. */
const leapMax = 100_000
export const settleMs = 10 * 60_000
const settleMessages = 500
const digitsMax = 9

interface Numbered extends Observation {
  readonly prefix: string
  readonly number: number
  /** Index in order of receipt. */
  readonly place: number
}

/**
 * Gaps and repeats among the messages given: a window of one feed, in any order. A gap is told only where the sender
 * numbers densely (nine of ten steps are +1), the numbers had time to arrive (10 minutes or 500 messages), and the ledger
 * holds everything the spool accepted between its two ends: what is still under way is not missing.
 */
export function findSequenceFaults(observations: readonly Observation[], now: number): SequenceFaults {
  const ordered = distinct(observations)
  const runs = runsOf(ordered.flatMap(numbered))
  const steps = runs.flatMap(({ steps: of }) => of)
  const dense =
    steps.length >= stepsMin && steps.filter(({ size }) => size === 1).length >= denseShareMin * steps.length
  if (!dense) return { dense }
  const holes = holesOf(ordered)
  const settled = ({ later }: Step): boolean =>
    now - later.receivedAt >= settleMs || ordered.length - 1 - later.place >= settleMessages
  const gaps = steps.filter(
    (step) => step.size > 1 && settled(step) && !holes.some((hole) => liesBetween(hole, step.earlier, step.later)),
  )
  const repeats = runs.flatMap(({ repeats: of }) => of)
  return {
    dense,
    ...(gaps.length > 0 && {
      gaps: {
        gaps: gaps.length,
        missing: gaps.reduce((sum, { size }) => sum + size - 1, 0),
        at: Math.max(...gaps.map(({ later }) => later.receivedAt)),
      },
    }),
    ...(repeats.length > 0 && { repeats: { repeats: repeats.length, at: Math.max(...repeats) } }),
  }
}

/** In order of receipt, each ledger position once, the same bytes once: a resent message is a duplicate, no repeat. */
function distinct(observations: readonly Observation[]): readonly Observation[] {
  const ordered = [...observations].sort((a, b) => a.epoch - b.epoch || a.seq - b.seq)
  return ordered.filter(({ epoch, seq }, index) => {
    const before = ordered[index - 1]
    return before === undefined || before.epoch !== epoch || before.seq !== seq
  })
}

function numbered(observation: Observation, place: number): readonly Numbered[] {
  const match = new RegExp(`(\\d{1,${digitsMax}})$`).exec(observation.controlId ?? '')
  if (match === null) return []
  return [{ ...observation, place, number: Number(match[1]), prefix: observation.controlId!.slice(0, match.index) }]
}

interface Step {
  readonly size: number
  /** Of the two neighbours, by receipt. */
  readonly earlier: Numbered
  readonly later: Numbered
}

interface Run {
  readonly steps: readonly Step[]
  /** Receipt of each message that carries a number seen before with other bytes, ms. */
  readonly repeats: readonly number[]
}

/** A numbering under one prefix until it starts anew: a fall or a leap that no overtaking explains. */
function runsOf(messages: readonly Numbered[]): readonly Run[] {
  const runs: Numbered[][] = []
  const open = new Map<string, { readonly members: Numbered[]; highest: number }>()
  for (const message of messages) {
    const run = open.get(message.prefix)
    const leap = run === undefined ? Number.NaN : message.number - run.highest
    const anew = message.number <= firstNumber && leap < -countedMin
    if (run !== undefined && !anew && leap > -overtakingMax && leap <= leapMax) {
      run.members.push(message)
      run.highest = Math.max(run.highest, message.number)
      continue
    }
    const members = [message]
    runs.push(members)
    open.set(message.prefix, { members, highest: message.number })
  }
  return runs.map(runOf)
}

function runOf(members: readonly Numbered[]): Run {
  const byNumber = new Map<number, Numbered>()
  const bytes = new Set<string>()
  const repeats: number[] = []
  for (const message of members) {
    const isDuplicate = bytes.has(message.messageId)
    bytes.add(message.messageId)
    if (!byNumber.has(message.number)) byNumber.set(message.number, message)
    else if (!isDuplicate) repeats.push(message.receivedAt)
  }
  const sorted = [...byNumber.values()].sort((a, b) => a.number - b.number)
  const steps = sorted.slice(1).map((message, index): Step => {
    const before = sorted[index]!
    const [earlier, later] = before.place < message.place ? [before, message] : [message, before]
    return { size: message.number - before.number, earlier, later }
  })
  return { steps, repeats }
}

interface Hole {
  readonly epoch: number
  readonly afterSeq: number
}

/** Ledger positions after which the window does not hold the next one. */
function holesOf(ordered: readonly Observation[]): readonly Hole[] {
  return ordered.flatMap(({ epoch, seq }, index) => {
    const next = ordered[index + 1]
    return next !== undefined && next.epoch === epoch && next.seq !== seq + 1 ? [{ epoch, afterSeq: seq }] : []
  })
}

function liesBetween(hole: Hole, earlier: Numbered, later: Numbered): boolean {
  // over a change of epoch nobody can say what the old spool still held
  if (earlier.epoch !== later.epoch) return true
  return hole.epoch === earlier.epoch && hole.afterSeq >= earlier.seq && hole.afterSeq < later.seq
}
