import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { calendarFindings } from '../../../cli/doctor/calendar.js'
import { dayNumber, loadCalendar, missingYears, weekdayOf } from '../../../services/watch/calendar.js'

let folder: string
let withNextYear: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hutong-holidays-'))
  withNextYear = join(folder, 'holidays.json')
  const year = { source: 'synthetic', holidays: [], workingWeekends: [] }
  writeFileSync(withNextYear, JSON.stringify({ source: 'synthetic', years: { 2026: year, 2027: year } }))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const at = (text: string): number => Date.parse(`${text}+08:00`)
const isoOf = (day: number): string => new Date(day * 86_400_000).toISOString().slice(0, 10)

describe('the holiday file', () => {
  /** 国务院办公厅关于2026年部分节假日安排的通知, 2025-11-04: 3 + 9 + 3 + 5 + 3 + 3 + 7 days off, six weekend days worked. */
  test('says of 2026 what the notice says', () => {
    const calendar = loadCalendar()
    const days = Array.from({ length: 365 }, (_, index) => dayNumber('2026-01-01') + index)
    const off = days.filter((day) => calendar.kindOf(day) === 'holiday').map(isoOf)
    expect(off).toHaveLength(33)
    for (const [first, count] of Object.entries({
      '2026-01-01': 3,
      '2026-02-15': 9,
      '2026-04-04': 3,
      '2026-05-01': 5,
      '2026-06-19': 3,
      '2026-09-25': 3,
      '2026-10-01': 7,
    })) {
      const last = isoOf(dayNumber(first) + count - 1)
      expect(off.filter((day) => day >= first && day <= last)).toHaveLength(count)
    }
    const worked = days.filter((day) => calendar.kindOf(day) === 'working-weekend')
    expect(worked.map((day) => [isoOf(day).slice(5), weekdayOf(day)])).toEqual([
      ['01-04', 7],
      ['02-14', 6],
      ['02-28', 6],
      ['05-09', 6],
      ['09-20', 7],
      ['10-10', 6],
    ])
  })

  test('is asked for the next year from the 1st of December on', () => {
    const known = loadCalendar()
    expect(known.knows(2027), 'until its notice is out').toBe(false)
    expect(missingYears(known, at('2026-11-30T23:59:59'))).toEqual([])
    expect(missingYears(known, at('2026-12-01T00:00:00'))).toEqual([2027])
    expect(missingYears(known, at('2027-01-01T00:00:00'))).toEqual([2027])
    expect(missingYears(loadCalendar(withNextYear), at('2026-12-01T00:00:00'))).toEqual([])
  })
})

describe('hutong doctor', () => {
  const say = (en: string): string => en
  const states = (more: object, text: string): unknown =>
    calendarFindings(more, at(text), say).map(({ part, state }) => [part, state])

  test('warns in December, and fails once the year has begun', () => {
    expect(states({}, '2026-11-23T09:00:00')).toEqual([['calendar', 'ok']])
    expect(states({}, '2026-12-01T09:00:00')).toEqual([['calendar', 'warning']])
    expect(states({}, '2027-01-02T09:00:00')).toEqual([['calendar', 'failure']])
    expect(states({ watch: { holidays: withNextYear } }, '2026-12-01T09:00:00')).toEqual([['calendar', 'ok']])
    const [finding] = calendarFindings({}, at('2026-12-01T09:00:00'), say)
    expect(finding?.detail).toMatch(/2027.*watch\.holidays/)
  })

  test('says nothing of it where nothing is watched', () => {
    expect(states({ roles: ['receive', 'parse'] }, '2027-01-02T09:00:00')).toEqual([])
    expect(states({ uplink: {} }, '2027-01-02T09:00:00')).toEqual([])
  })
})
