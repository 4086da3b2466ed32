import { describe, expect, test } from 'vitest'
import { RetryableError } from '../../core/errors.js'
import type { Batch, Position, StoredRecord } from '../../log/event-log.js'
import { PartitionIntake, type IntakeOptions } from '../../log/partition-intake.js'

const place = { topic: 't', partition: 0 }
const records = (from: number, count: number, bytes = 10): StoredRecord[] =>
  Array.from({ length: count }, (_, index) => ({
    ...place,
    offset: BigInt(from + index),
    appendedAt: 0,
    key: 'k',
    value: Buffer.alloc(bytes),
  }))
const offsets = (batch: Batch | undefined): number[] => (batch?.records ?? []).map(({ offset }) => Number(offset))

function intakeOf(options: Partial<IntakeOptions> = {}) {
  const committed: Position[] = []
  const held: string[] = []
  const intake = new PartitionIntake({
    recordsMax: 4,
    bytesMax: 1000,
    lingerMs: 0,
    waitingBytesMax: 500,
    commit: async (position) => void committed.push(position),
    pause: ({ partition }) => void held.push(`pause ${partition}`),
    resume: ({ partition }) => void held.push(`resume ${partition}`),
    ...options,
  })
  return { intake, committed, held }
}

describe('PartitionIntake', () => {
  test('takes in only what starts where the group stands: a client that skips or steps back is not believed', async () => {
    const { intake } = intakeOf()
    expect(intake.offer(place, 0n, records(0, 1), 1n), 'not assigned').toBe(false)
    intake.assign([{ ...place, offset: 10n }])
    expect(intake.offer(place, 14n, records(14, 2), 16n), 'would skip four records').toBe(false)
    expect(intake.offer(place, 8n, records(8, 4), 12n), 'would repeat').toBe(false)
    expect(intake.offer(place, 10n, records(10, 2), 14n), 'markers at its end are passed').toBe(true)
    expect(intake.offer(place, 14n, records(14, 1), 15n)).toBe(true)
    const batch = await intake.next()
    expect(offsets(batch)).toEqual([10, 11, 14])
  })

  test('a released batch comes again before what was fetched since', async () => {
    const { intake, committed } = intakeOf()
    intake.assign([{ ...place, offset: 0n }])
    intake.offer(place, 0n, records(0, 3), 3n)
    const first = await intake.next()
    intake.offer(place, 3n, records(3, 3), 6n)
    await first!.release()
    await expect(first!.commit()).rejects.toThrow(RetryableError)
    const again = await intake.next()
    expect(offsets(again)).toEqual([0, 1, 2, 3])
    await again!.commit()
    await again!.commit()
    expect(committed).toEqual([{ ...place, offset: 4n }])
  })

  test('a commit that fails leaves the batch out, so that it can be tried again', async () => {
    let failing = true
    const { intake } = intakeOf({
      commit: async () => {
        if (failing) throw new RetryableError('away')
      },
    })
    intake.assign([{ ...place, offset: 0n }])
    intake.offer(place, 0n, records(0, 8), 8n)
    const batch = await intake.next()
    await expect(batch!.commit()).rejects.toThrow('away')
    let got: Batch | undefined
    void intake.next().then((next) => (got = next))
    await Promise.resolve()
    expect(got).toBeUndefined()
    failing = false
    await batch!.commit()
    await expect.poll(() => offsets(got)).toEqual([4, 5, 6, 7])
  })

  test('what is taken away is aborted, cannot be committed, and its partition waits for the body that still runs', async () => {
    const { intake, committed } = intakeOf()
    intake.assign([{ ...place, offset: 0n }])
    intake.offer(place, 0n, records(0, 6), 6n)
    const before = (await intake.next())!
    intake.assign([{ ...place, offset: 0n }])
    expect(before.signal.aborted).toBe(true)
    expect(intake.positionOf(place)).toBe(0n)
    intake.offer(place, 0n, records(0, 2), 2n)
    let after: Batch | undefined
    const asked = intake.next().then((next) => (after = next))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(after, 'the earlier body has not settled').toBeUndefined()
    await expect(before.commit()).rejects.toThrow(RetryableError)
    await asked
    expect(offsets(after)).toEqual([0, 1])
    expect(committed).toEqual([])
  })

  test('holds a partition back while much of it waits and takes it on again', async () => {
    const { intake, held } = intakeOf()
    intake.assign([{ ...place, offset: 0n }])
    intake.offer(place, 0n, records(0, 6, 100), 6n)
    expect(held).toEqual(['pause 0'])
    expect(intake.isHungry(place)).toBe(false)
    await (await intake.next())!.commit()
    expect(held).toEqual(['pause 0', 'resume 0'])
  })

  test('a record larger than a batch comes alone; ending gives out nothing more and waits for what is out', async () => {
    const { intake } = intakeOf()
    intake.assign([{ ...place, offset: 0n }])
    intake.offer(place, 0n, [...records(0, 1, 5000), ...records(1, 2)], 3n)
    const batch = (await intake.next())!
    expect(offsets(batch)).toEqual([0])
    intake.end()
    expect(await intake.next()).toBeUndefined()
    let settled = false
    void intake.settled().then(() => (settled = true))
    await Promise.resolve()
    expect(settled).toBe(false)
    await batch.commit()
    await expect.poll(() => settled).toBe(true)
  })

  test('no partition starves the others', async () => {
    const { intake } = intakeOf()
    const places = [0, 1, 2].map((partition) => ({ topic: 't', partition }))
    intake.assign(places.map((one) => ({ ...one, offset: 0n })))
    for (const one of places)
      intake.offer(
        one,
        0n,
        records(0, 12).map((record) => ({ ...record, ...one })),
        12n,
      )
    const order: number[] = []
    for (let count = 0; count < 6; count++) {
      const batch = (await intake.next())!
      order.push(batch.partition.partition)
      await batch.commit()
    }
    expect([...order].sort()).toEqual([0, 0, 1, 1, 2, 2])
  })
})
