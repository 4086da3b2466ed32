import { expect, test } from 'vitest'
import { narrowingOf, staysBehind, type RefusedBatch } from '../../log/uplink-narrowing.js'

const message = (feed: string, seq: number, epoch = 1): { kind: string; feed: string; epoch: number; seq: number } => ({
  ...{ kind: 'message', feed, epoch, seq },
})
const sent = [message('lis', 1), message('lis', 2), message('ris', 1)]
const refused = (code: string, status: number, record?: number): RefusedBatch => ({ code, status, record })

test.each<[string, RefusedBatch, object]>([
  ['a feed nobody configured', refused('feed-unknown', 403, 2), { step: 'hold', index: 2, whole: true }],
  ['a forged hospital', refused('hospital-forged', 403, 0), { step: 'hold', index: 0, whole: true }],
  ['a message that is invalid', refused('message-invalid', 400, 1), { step: 'hold', index: 1, whole: false }],
  ['a message that is too large', refused('body-too-large', 413, 1), { step: 'hold', index: 1, whole: false }],
  ['a frame that cannot be read', refused('batch-unreadable', 400, 1), { step: 'hold', index: 1, whole: false }],
  ['a batch that is too large', refused('body-too-large', 413), { step: 'halve' }],
  ["a proxy's limit", refused('unknown-answer', 413), { step: 'halve' }],
  ['a fault of the gateway', refused('fault', 500), { step: 'halve' }],
  ['an index that is none', refused('message-invalid', 400, 7), { step: 'halve' }],
  ['a batch of another version', refused('batch-unreadable', 400), { step: 'wait' }],
  ['schemas of a newer edge', refused('schema-unknown', 400, 0), { step: 'wait' }],
  ['another environment', refused('environment-mismatch', 403, 0), { step: 'wait' }],
  ['a log that is away', refused('log-away', 503), { step: 'wait' }],
  ['an expired certificate', refused('certificate-expired', 401), { step: 'wait' }],
])('%s', (_, refusal, step) => expect(narrowingOf(refusal, sent)).toEqual(step))

test.each([refused('body-too-large', 413), refused('unknown-answer', 413), refused('fault', 500)])(
  'what stands alone is held: %o',
  (refusal) => expect(narrowingOf(refusal, [message('lis', 1)])).toEqual({ step: 'hold', index: 0, whole: false }),
)

test('a refused watermark holds its feed as a whole: there is no number to go on from', () => {
  const watermark = { kind: 'watermark', feed: 'lis', epoch: 1, seq: 9 }
  expect(narrowingOf(refused('message-invalid', 400, 0), [watermark])).toEqual({ step: 'hold', index: 0, whole: true })
})

test('what follows a held message stays behind it, what comes before and watermarks go on', () => {
  const stop = { feed: 'lis', epoch: 2, seq: 5, whole: false }
  expect(staysBehind(message('lis', 9, 1), stop)).toBe(false)
  expect(staysBehind(message('lis', 4, 2), stop)).toBe(false)
  expect(staysBehind(message('lis', 5, 2), stop)).toBe(true)
  expect(staysBehind(message('lis', 1, 3), stop)).toBe(true)
  expect(staysBehind({ ...message('lis', 9, 2), kind: 'watermark' }, stop)).toBe(false)
  expect(staysBehind({ ...message('lis', 1, 1), kind: 'watermark' }, { ...stop, whole: true })).toBe(true)
  expect(staysBehind(message('lis', 9, 9), undefined)).toBe(false)
})
