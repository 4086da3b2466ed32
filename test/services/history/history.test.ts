import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { balanceOf, readCounts } from '../../../services/history/balance.js'
import { dayOfMessage, dayOfPath, inOrder, readDaySpan } from '../../../services/history/day.js'
import { openJournal, readJournal, type DayRecord } from '../../../services/history/journal.js'
import { planHistory } from '../../../services/history/plan.js'
import { spansSince, workOf } from '../../../services/history/send.js'
import { ofDay, whiteCellCount, writeHistory } from './messages.js'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hutong-history-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('the day of a message', () => {
  test('is the first date of its path, where there is one that exists', () => {
    expect(dayOfPath('2024/2024-03-05/lis.hl7')).toBe('2024-03-05')
    expect(dayOfPath('export-20240305-20240307.hl7')).toBe('2024-03-05')
    expect(dayOfPath('20240230/20240301.hl7')).toBe('2024-03-01')
    expect(dayOfPath('2024/lis-1234567890.hl7')).toBe('undated')
  })

  test('is its MSH-7 by the clock of +08:00 otherwise', () => {
    const header = (time: string): Buffer => Buffer.from(`MSH|^~\\&|LIS|H001|A|B|${time}||ORU^R01|1|P|2.4\r`)
    expect(dayOfMessage(header('20240305235959'))).toBe('2024-03-05')
    expect(dayOfMessage(header('20240305235959+0000'))).toBe('2024-03-06')
    expect(dayOfMessage(header('2024'))).toBe('undated')
    expect(dayOfMessage(Buffer.from('no message'))).toBe('undated')
  })

  test('orders: newest or oldest first, undated last either way', () => {
    const days = ['2023-01-02', 'undated', '2024-01-01', '2023-01-01']
    expect(inOrder(days, 'newest')).toEqual(['2024-01-01', '2023-01-02', '2023-01-01', 'undated'])
    expect(inOrder(days, 'oldest')).toEqual(['2023-01-01', '2023-01-02', '2024-01-01', 'undated'])
    expect(readDaySpan('2019-01-01..2023-12-31')).toEqual({ first: '2019-01-01', last: '2023-12-31' })
    for (const text of ['2019-01', '2019-02-30', '2023-01-02..2023-01-01', '2019-01-01..']) {
      expect(() => readDaySpan(text)).toThrow(/YYYY-MM-DD/)
    }
  })
})

describe('what stands in folders', () => {
  const read = async (plan: Awaited<ReturnType<typeof planHistory>>, day: string): Promise<string[]> => {
    const found: string[] = []
    for await (const message of plan.read(day)) {
      found.push('bytes' in message ? `${message.sourceName}:${message.sourceIndex}` : `${message.sourceName} is empty`)
    }
    return found
  }

  test('falls into days by path, and by message where the path says nothing', async () => {
    await writeHistory(folder, {
      '2023-05-01/a.hl7': ofDay('2023-05-02', 1, 2),
      '2023-05-01/b.hl7': ofDay('2023-05-01', 3, 1),
      'mixed/all.hl7': [
        whiteCellCount('2023-05-01', 4),
        whiteCellCount('2023-05-03', 5),
        whiteCellCount('2023-05-01', 6),
      ],
      'mixed/20230503.hl7': ofDay('2023-05-03', 7, 1),
      'notes/readme.txt': ['nothing to see'],
    })
    const plan = await planHistory([folder])
    expect([...plan.days.keys()].sort()).toEqual(['2023-05-01', '2023-05-03', 'undated'])
    expect(await read(plan, '2023-05-01')).toEqual([
      '2023-05-01/a.hl7:1',
      '2023-05-01/a.hl7:2',
      '2023-05-01/b.hl7:1',
      'mixed/all.hl7:1',
      'mixed/all.hl7:3',
    ])
    expect(await read(plan, '2023-05-03')).toEqual(['mixed/20230503.hl7:1', 'mixed/all.hl7:2'])
    expect(await read(plan, 'undated')).toEqual(['notes/readme.txt is empty'])
    const byMessage = await planHistory([folder], { by: 'message' })
    expect(await read(byMessage, '2023-05-02')).toEqual(['2023-05-01/a.hl7:1', '2023-05-01/a.hl7:2'])
  })

  test('a changed day is told from one that is the same', async () => {
    await writeHistory(folder, {
      '2023-05-01/a.hl7': ofDay('2023-05-01', 1, 2),
      '2023-05-02/a.hl7': ofDay('2023-05-02', 9, 1),
    })
    const before = (await planHistory([folder])).days
    await writeHistory(folder, { '2023-05-01/b.hl7': ofDay('2023-05-01', 3, 1) })
    const after = (await planHistory([folder])).days
    const done: DayRecord = { ...record('2023-05-01'), fingerprint: before.get('2023-05-01')!.fingerprint }
    const once = { again: false, settles: true }
    expect(workOf(before.get('2023-05-01')!, done, once)).toBe('nothing')
    expect(
      workOf(before.get('2023-05-01')!, { ...done, state: 'sent' }, { again: false, settles: false }),
      'over an uplink sent is all that can be seen',
    ).toBe('nothing')
    expect(workOf(before.get('2023-05-01')!, done, { again: true, settles: true })).toBe('send')
    expect(workOf(before.get('2023-05-01')!, { ...done, state: 'sent' }, once)).toBe('settle')
    expect(workOf(before.get('2023-05-01')!, { ...done, state: 'sending' }, once)).toBe('send')
    expect(workOf(after.get('2023-05-01')!, done, once)).toBe('send')
    expect(after.get('2023-05-02')).toEqual(before.get('2023-05-02'))
  })

  test('a folder within a folder named as well is refused, for its messages would count twice', async () => {
    await writeHistory(folder, { 'a/2023-05-01.hl7': ofDay('2023-05-01', 1, 1) })
    await expect(planHistory([folder, join(folder, 'a')])).rejects.toThrow(/named twice/)
    await expect(planHistory([join(folder, 'none')])).rejects.toThrow(/ENOENT/)
  })
})

const record = (day: string, settled = 10, overrides: Partial<DayRecord> = {}): DayRecord => ({
  day,
  state: 'settled',
  fingerprint: 'f',
  after: [],
  read: 10,
  refused: 0,
  spans: [{ epoch: 1, from: 1, to: 10 }],
  settlement: { stored: settled, superseded: 0, deadLettered: 0, ignored: 0, inFlight: 10 - settled },
  ...overrides,
})

describe('the journal of days', () => {
  test('keeps what it was given through a restart, and forgets a line that a dying process left unfinished', async () => {
    const journal = await openJournal(folder)
    await journal.put(record('2023-05-01', 10, { state: 'sending' }))
    await journal.put(record('2023-05-01'))
    await journal.put(record('2023-05-02', 10, { state: 'sent' }))
    await journal.close()
    const file = join(folder, 'days.jsonl')
    await appendFile(file, '{"day":"2023-05-03","state":"settl')
    const again = await openJournal(folder)
    expect([...again.days.values()].map(({ day, state }) => [day, state])).toEqual([
      ['2023-05-01', 'settled'],
      ['2023-05-02', 'sent'],
    ])
    await again.put(record('2023-05-03'))
    await again.close()
    expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(4)
    expect((await readJournal(folder)).get('2023-05-03')).toEqual(record('2023-05-03'))
  })

  test('damage in its middle is said, not passed over', async () => {
    await writeFile(join(folder, 'days.jsonl'), '{"day":\n{"day":"2023-05-03"}\n')
    await expect(openJournal(folder)).rejects.toThrow(/days\.jsonl:1/)
  })

  test('numbers of a day are those behind the marks, in whatever epoch', () => {
    expect(spansSince([{ epoch: 7, seq: 20 }], [{ epoch: 7, seq: 25 }])).toEqual([{ epoch: 7, from: 21, to: 25 }])
    expect(
      spansSince(
        [{ epoch: 7, seq: 20 }],
        [
          { epoch: 7, seq: 20 },
          { epoch: 9, seq: 3 },
        ],
      ),
    ).toEqual([{ epoch: 9, from: 1, to: 3 }])
  })
})

describe('the balance with the hospital', () => {
  const days = new Map([
    ['2023-05-01', record('2023-05-01')],
    ['2023-05-02', record('2023-05-02', 7, { state: 'sent' })],
    [
      '2023-05-03',
      record('2023-05-03', 0, {
        settlement: { stored: 5, superseded: 2, deadLettered: 2, ignored: 1, inFlight: 0 },
      }),
    ],
  ])
  const shown = (counts?: ReadonlyMap<string, number>): unknown[] =>
    balanceOf(days, counts).map(({ day, difference, inFlight, balanced }) => [day, difference, inFlight, balanced])

  test('without a count each day must have what was read', () => {
    expect(shown()).toEqual([
      ['2023-05-01', 0, 0, true],
      ['2023-05-02', 3, 3, false],
      ['2023-05-03', 0, 0, true],
    ])
  })

  test('names the days that differ, those never sent and those never counted', () => {
    const counts = readCounts('日期,数量\n2023-05-01,12\n2023/5/3,9\n20230504,4\n')
    expect(shown(counts)).toEqual([
      ['2023-05-01', 2, 0, false],
      ['2023-05-02', -7, 3, false],
      ['2023-05-03', -1, 0, false],
      ['2023-05-04', 4, 0, false],
    ])
  })

  test('a refused file or a day still being sent is no balanced day, even where the numbers agree', () => {
    expect(balanceOf(new Map([['d', record('d', 10, { refused: 1 })]]))[0]!.balanced).toBe(false)
    expect(balanceOf(new Map([['d', record('d', 10, { state: 'sending' })]]))[0]!.balanced).toBe(false)
  })

  test('a count that cannot be read is named by its line', () => {
    expect([...readCounts('\ufeff"2023-05-01";"1234"\r\n\r\n2023-05-02;0;x')]).toEqual([
      ['2023-05-01', 1234],
      ['2023-05-02', 0],
    ])
    expect(() => readCounts('2023-05-01,1\n2023-05-32,5')).toThrow(/:2: a line is a day/)
    expect(() => readCounts('2023-05-01,1\n2023-05-01,5')).toThrow(/:2: 2023-05-01 stands there twice/)
    expect(() => readCounts('2023-05-01,1,000\n2023-05-02,-1')).toThrow(/:2/)
  })
})
