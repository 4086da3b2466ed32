import { describe, expect, test } from 'vitest'
import { localDate, readTime, zoneOffsetMinutes } from '../../connectors/times.js'
import { messageTimeOf, recordedTime } from '../../connectors/clock-rules.js'

const china = 480

describe('HL7 times', () => {
  test.each([
    ['20240506093015', '2024-05-06T01:30:15.000Z'],
    ['202405060930', '2024-05-06T01:30:00.000Z'],
    ['2024050609', '2024-05-06T01:00:00.000Z'],
    ['20240506', '2024-05-05T16:00:00.000Z'],
    ['20240506093015.5', '2024-05-06T01:30:15.500Z'],
    ['20240506093015.1239', '2024-05-06T01:30:15.123Z'],
    ['20240506093015+0000', '2024-05-06T09:30:15.000Z'],
    ['20240506093015.001-0530', '2024-05-06T15:00:15.001Z'],
    ['20240506093015Z', '2024-05-06T09:30:15.000Z'],
    ['20240506240000', '2024-05-06T16:00:00.000Z'],
    ['20240229', '2024-02-28T16:00:00.000Z'],
    ['2024-05-06 09:30:15', '2024-05-06T01:30:15.000Z'],
    ['2024-05-06T09:30:15Z', '2024-05-06T09:30:15.000Z'],
    ['2024-05-06T09:30:15.250+08:00', '2024-05-06T01:30:15.250Z'],
    ['2024/5/6 9:30', '2024-05-06T01:30:00.000Z'],
    ['2024.5.6', '2024-05-05T16:00:00.000Z'],
  ])('%s is %s where the zone is +08:00', (text, iso) => {
    expect(new Date(readTime(text, china) ?? NaN).toISOString()).toBe(iso)
  })

  test.each([
    '',
    '2024',
    '202405',
    '00000000',
    '20241301',
    '20240231',
    '20230229',
    '20240506250000',
    '202405060',
    '20240506096000',
  ])('%s is no time', (text) => expect(readTime(text, china)).toBeNull())
  test.each([
    '20240506093015x',
    '20240506093015+25',
    '二〇二四年五月',
    '2024-13-01',
    '18991231',
    '2024050609301599',
    '""',
  ])('%s is no time', (text) => expect(readTime(text, china)).toBeNull())

  test('zones', () => {
    expect(['+08:00', '+0800', '-05', 'Z', '+08:99', '08:00', ''].map(zoneOffsetMinutes)).toEqual([
      480,
      480,
      -300,
      0,
      null,
      null,
      null,
    ])
  })

  test('the local date of an instant late in the day', () => {
    expect(localDate(Date.parse('2024-05-06T16:00:00Z'), china)).toBe('20240507')
    expect(localDate(Date.parse('2024-05-06T15:59:59Z'), china)).toBe('20240506')
  })
})

describe('clock rules', () => {
  const receivedAt = Date.parse('2024-05-06T09:31:00+08:00')
  const dayMs = 86_400_000

  test('MSH-7 up to exactly a day ahead of the receipt is believed', () => {
    const at = receivedAt + dayMs
    expect(messageTimeOf('20240507093100', china, receivedAt)).toEqual({ at, fromReceipt: false })
    expect(messageTimeOf('20240507093101', china, receivedAt)).toEqual({ at: receivedAt, fromReceipt: true })
    expect(messageTimeOf('20200101', china, receivedAt).fromReceipt).toBe(false)
    expect(messageTimeOf(null, china, receivedAt)).toEqual({ at: receivedAt, fromReceipt: true })
  })

  test('OBR-22 up to exactly a day ahead of the message is believed', () => {
    expect(recordedTime('20240507093100', receivedAt, china)).toEqual({ at: receivedAt + dayMs, flag: null })
    expect(recordedTime('20240507093101', receivedAt, china)).toEqual({ at: receivedAt, flag: 'recorded-at-future' })
    expect(recordedTime('next week', receivedAt, china)).toEqual({ at: receivedAt, flag: 'recorded-at-unreadable' })
    expect(recordedTime(null, receivedAt, china)).toEqual({ at: receivedAt, flag: null })
  })
})
