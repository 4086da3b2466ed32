import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Configuration } from '../../cli/config.js'
import { filesOf } from '../../cli/files.js'
import { openRepository } from '../../cli/repository-access.js'
import { replay, type ReplayResult } from '../../cli/replay.js'
import { dumpRows } from '../../repository/dump-rows.js'
import { stacks } from './stacks.js'
import { reconciled } from '../repository/reconciled.js'

const corpus = resolve(import.meta.dirname, '../../../shared/corpus')
const folders = ['hl7v2', 'hl7v2-extracted'].map((folder) => resolve(corpus, folder))
const receiptClock = { now: () => Date.parse('2026-01-01T00:00:00Z') }
const seed = 20260101

describe.runIf(existsSync(corpus) || process.env.CI === 'true')('the corpus, replayed twice and shuffled', () => {
  const dumps = new Map<string, readonly string[]>()

  test.each(stacks())(
    'leaves the same rows on the $name stack',
    async (stack) => {
      const files = await listed(filesOf(folders))
      const place = await stack.open()
      try {
        const first = await send(place.configuration, files)
        expectBalanced(first)
        expect(first.received).toBeGreaterThan(1000)
        const rows = await rowsOf(place.configuration)
        expect(rows.length).toBeGreaterThan(1000)
        const again = await send(place.configuration, shuffled(files, seed))
        expectBalanced(again)
        expect(again.stored, 'a second replay must store nothing').toBe(0)
        expect(await rowsOf(place.configuration)).toEqual(rows)
        dumps.set(stack.name, rows)
      } finally {
        await place.end()
      }
      const other = await stack.open()
      try {
        await send(other.configuration, shuffled(files, seed + 1))
        expect(await rowsOf(other.configuration)).toEqual(dumps.get(stack.name))
      } finally {
        await other.end()
      }
    },
    300_000,
  )

  test.runIf(stacks().length > 1)('leaves the same rows on both stacks', () => {
    expect(dumps.get('real')).toEqual(dumps.get('embedded'))
  })
})

function send(configuration: Configuration, files: readonly string[]): Promise<ReplayResult> {
  return replay(configuration, each(files), { progress: () => undefined, receiptClock })
}

function expectBalanced({ received, stored, superseded, deadLettered, ignored, inFlight }: ReplayResult): void {
  expect(stored + superseded + deadLettered + ignored + inFlight).toBe(received)
  expect(inFlight).toBe(0)
}

async function rowsOf(configuration: Configuration): Promise<readonly string[]> {
  const database = await openRepository(configuration)
  try {
    const { balanced, discrepancies } = await reconciled(database)
    expect(discrepancies).toEqual([])
    expect(balanced).toBe(true)
    return await dumpRows(database)
  } finally {
    await database.close()
  }
}

async function listed<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const value of values) list.push(value)
  return list
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

/** Fisher–Yates by a small linear congruential generator: the same seed, the same order. */
function shuffled<T>(values: readonly T[], from: number): T[] {
  const order = [...values]
  let state = from >>> 0
  for (let last = order.length - 1; last > 0; last--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const other = Math.floor((state / 2 ** 32) * (last + 1))
    ;[order[last], order[other]] = [order[other]!, order[last]!]
  }
  return order
}
