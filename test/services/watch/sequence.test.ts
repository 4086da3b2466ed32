import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { findClockJump, type ClockSample } from '../../../services/watch/sender-clock.js'
import { findSequenceFaults, type Observation } from '../../../services/watch/sequence.js'

const start = Date.parse('2026-03-02T08:00:00+08:00')
const later = start + 86_400_000

function received(controlIds: readonly (string | null)[], from = 1): Observation[] {
  return controlIds.map((controlId, index) => ({
    epoch: 1,
    seq: from + index,
    controlId,
    messageId: `bytes-${from + index}`,
    receivedAt: start + (from + index) * 1000,
  }))
}

const counted = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `LIS${String(from + index).padStart(8, '0')}`)

describe('control ids', () => {
  test('of a dense sender show what is missing, with the receipt of the next one', () => {
    const ids = [...counted(1, 100), ...counted(104, 200)]
    expect(findSequenceFaults(received(ids), later)).toEqual({
      dense: true,
      gaps: { gaps: 1, missing: 3, at: start + 101_000 },
    })
  })

  test('are not judged where the sender does not number', () => {
    const ids = Array.from({ length: 200 }, (_, index) => `ID${(index * 7919 * 104_729) % 1_000_003}`)
    expect(findSequenceFaults(received(ids), later)).toEqual({ dense: false })
    const stamped = Array.from({ length: 200 }, (_, index) => `${20260302080000 + index * 37}`)
    expect(findSequenceFaults(received(stamped), later)).toEqual({ dense: false })
    expect(findSequenceFaults(received(counted(1, 20)), later).dense).toBe(false)
  })

  test('that are still under way are not missing', () => {
    const ids = [...counted(1, 100), ...counted(104, 110)]
    expect(findSequenceFaults(received(ids), start + 112_000)).toEqual({ dense: true })
    // the spool accepted three messages that the archive does not hold yet
    const underWay = [...received(counted(1, 100)), ...received(counted(104, 200), 104)]
    expect(findSequenceFaults(underWay, later)).toEqual({ dense: true })
  })

  test('that overtake each other on two connections are no gap and no repeat', () => {
    const ids = counted(1, 200)
    for (let index = 0; index + 3 < ids.length; index += 4)
      [ids[index], ids[index + 3]] = [ids[index + 3]!, ids[index]!]
    expect(findSequenceFaults(received(ids), later)).toEqual({ dense: true })
  })

  test('used again for other bytes are repeats; the same bytes again are not', () => {
    const messages = received([...counted(1, 100), 'LIS00000050', 'LIS00000051', ...counted(101, 120)])
    const resent = messages.map((message) => (message.seq === 102 ? { ...message, messageId: 'bytes-51' } : message))
    expect(findSequenceFaults(resent, later)).toEqual({ dense: true, repeats: { repeats: 1, at: start + 101_000 } })
  })

  test('that start anew every day are a new numbering', () => {
    const ids = [...counted(1, 60), ...counted(1, 70), ...counted(1, 40)]
    expect(findSequenceFaults(received(ids), later)).toEqual({ dense: true })
    const leapt = [...counted(1, 100), ...counted(5_000_000, 5_000_100)]
    expect(findSequenceFaults(received(leapt), later)).toEqual({ dense: true })
  })

  test('may be observed in any order, and more than once', () => {
    const messages = received([...counted(1, 80), ...counted(83, 150), 'LIS00000140', null, ...counted(151, 170)])
    const faults = findSequenceFaults(messages, later)
    expect(faults).toMatchObject({ gaps: { missing: 2 }, repeats: { repeats: 1 } })
    fc.assert(
      fc.property(fc.shuffledSubarray([...messages, ...messages], { minLength: messages.length * 2 }), (shuffled) => {
        expect(findSequenceFaults(shuffled, later)).toEqual(faults)
      }),
    )
  })
})

describe("a sender's clock", () => {
  const boundMs = 5 * 60_000
  const sample = (index: number, offsetMs: number): ClockSample => {
    const receivedAt = start + index * 60_000
    return { receivedAt, messageTime: receivedAt + offsetMs + (index % 3) * 900 }
  }
  const samples = (count: number, offsetMs: (index: number) => number): ClockSample[] =>
    Array.from({ length: count }, (_, index) => sample(index, offsetMs(index)))

  test('that moves and stays there is told, in either direction', () => {
    for (const byMs of [20 * 60_000, -9 * 60_000]) {
      const jump = findClockJump(
        samples(30, (index) => (index < 20 ? -2000 : byMs)),
        boundMs,
      )
      expect(jump?.at).toBe(start + 20 * 60_000)
      expect(Math.abs(jump!.byMs - byMs)).toBeLessThan(5000)
    }
  })

  test('that has always been wrong by hours, or goes slowly, has not moved', () => {
    expect(
      findClockJump(
        samples(40, () => -8 * 3_600_000),
        boundMs,
      ),
    ).toBeUndefined()
    expect(
      findClockJump(
        samples(40, (index) => index * 2000),
        boundMs,
      ),
    ).toBeUndefined()
  })

  test('is not blamed for a backlog that is worked off, nor for one odd message', () => {
    const backlog = samples(40, (index) => (index < 20 ? -1000 : -Math.max(1000, (40 - index) * 180_000)))
    expect(findClockJump(backlog, boundMs)).toBeUndefined()
    expect(
      findClockJump(
        samples(40, (index) => (index === 30 ? 86_400_000 : 0)),
        boundMs,
      ),
    ).toBeUndefined()
  })

  test('is judged the same whatever the order of the samples', () => {
    const all = samples(30, (index) => (index < 20 ? 0 : 3_600_000))
    const jump = findClockJump(all, boundMs)
    fc.assert(
      fc.property(fc.shuffledSubarray(all, { minLength: all.length }), (shuffled) => {
        expect(findClockJump(shuffled, boundMs)).toEqual(jump)
      }),
    )
  })
})
