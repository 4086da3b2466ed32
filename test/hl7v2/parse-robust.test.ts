import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Parsed } from '../../connectors/connector.js'
import { hl7v2Parser } from '../../connectors/hl7v2/to-events.js'
import { RecordError } from '../../core/errors.js'

const root = join(import.meta.dirname, '..', 'golden', 'hl7v2')
const inputs = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => readFileSync(join(root, entry.name, 'input.hl7')))
const parsers = [
  hl7v2Parser(),
  hl7v2Parser({ rawLineBreaks: 'join', updates: 'snapshot', reportNumberRecycles: 'day' }),
]

function parse(content: Buffer, which = 0): Parsed | RecordError {
  try {
    return parsers[which]!({
      content,
      feed: 'robust',
      hospital: 'TEST',
      environment: 'test',
      receivedAt: Date.parse('2024-05-06T09:31:00+08:00'),
      messageId: '0',
    })
  } catch (error) {
    if (error instanceof RecordError) return error
    throw error
  }
}

/** What may be put anywhere into a message: separators, line ends, escapes, names of segments and of object members. */
const pieces = [
  '|',
  '^',
  '~',
  '\\',
  '&',
  '\r',
  '\n',
  '""',
  '\\X',
  '\\.br\\',
  'OBX|',
  'OBR|1||N1',
  'PID|',
  'ORC|',
  'MSH|',
  'constructor',
  '__proto__',
  '珅',
  '\0',
  '',
]

describe('whatever is done to a message', () => {
  test('it gives events, a reason or a RecordError, and the same ones again', () => {
    fc.assert(
      fc.property(
        fc.nat(inputs.length - 1),
        fc.array(
          fc.record({
            at: fc.double({ min: 0, max: 1, noNaN: true }),
            cut: fc.nat(12),
            put: fc.constantFrom(...pieces),
          }),
          {
            minLength: 1,
            maxLength: 6,
          },
        ),
        fc.nat(1),
        (which, edits, options) => {
          let content = inputs[which]!
          for (const { at, cut, put } of edits) {
            const offset = Math.floor(at * content.length)
            content = Buffer.concat([content.subarray(0, offset), Buffer.from(put), content.subarray(offset + cut)])
          }
          const outcome = parse(content, options)
          if (!(outcome instanceof RecordError)) {
            expect(outcome.events.length > 0).toBe(outcome.ignored === undefined)
            for (const { body } of outcome.events) expect(Number.isSafeInteger(body.contentHash)).toBe(true)
          }
          expect(parse(content, options)).toEqual(outcome)
        },
      ),
      { numRuns: 1500 },
    )
  })

  test('a type, trigger or section named like a member of every object is unknown, not a crash', () => {
    const message = (type: string, section: string): Buffer =>
      Buffer.from(
        `MSH|^~\\&|LIS|H|||20240506093015||${type}|1|P|2.5\rPID|1||1^^^HIS^MR\rOBR|1||N1|X^x${'|'.repeat(20)}${section}|F\rOBX|1|ST|A||1\r`,
      )
    expect(parse(message('constructor', ''))).toBeInstanceOf(RecordError)
    expect(parse(message('ADT^toString', ''))).toMatchObject({ ignored: { reason: 'message-type-not-used' } })
    expect(parse(message('ORU^R01', 'constructor'))).toMatchObject({
      events: [{ domain: 'lab-report', body: { kind: 'lab' } }],
    })
  })

  test('of ten thousand results with their notes none is lost', () => {
    const lines = Array.from({ length: 10_000 }, (_, n) => `OBX|${n}|NM|A${n}||1|g/L|||||F\rNTE|1||note`)
    const content = Buffer.from(
      ['MSH|^~\\&|LIS|H|||20240506093015||ORU^R01|1|P|2.5', 'PID|1||1^^^HIS^MR', 'OBR|1||N1|X^x', ...lines].join('\r'),
    )
    const parsed = parse(content)
    expect(parsed).toMatchObject({ events: [{ domain: 'lab-report' }] })
    if (parsed instanceof RecordError || parsed.events[0]?.domain !== 'lab-report') throw new Error('no report')
    expect(parsed.events[0].body.observations).toHaveLength(10_000)
  })
})

describe('an order group is the same in whatever company it arrives', () => {
  const header = ['MSH|^~\\&|MLIS|H|||20240506093015||ORU^R01|1|P|2.5', 'PID|1||1^^^HIS^MR||测试^某甲']
  const tail = '|'.repeat(20)
  const groups = [
    [
      'OBR|1|P1|M1|CULT^血培养' + tail + 'MB|F',
      'OBX|1|CE|ORG^菌||ECO^大肠埃希菌',
      'OBX|2|CE|ORG^菌|2|KPN^肺炎克雷伯菌',
    ],
    ['OBR|2|P1|M1|AST^药敏' + tail + 'MB|F|ORG^1|||P1^M1', 'OBX|1|ST|CRO^头孢曲松||R'],
    ['OBR|3|P1|M1|AST^药敏' + tail + 'MB|F|ORG^2|||P1^M1', 'OBX|1|ST|CRO^头孢曲松||S'],
    ['OBR|4|P1|M2|GRAM^涂片' + tail + 'MB|P', 'OBX|1|TX|RES^结果||未见菌'],
    ['OBR|5|||AST^药敏' + tail + 'MB|F|ORG^3|||P1^M1', 'OBX|1|ST|IPM^亚胺培南||S'],
  ]
  const keysOf = (chosen: readonly (readonly string[])[]): string[] => {
    const parsed = parse(Buffer.from([...header, ...chosen.flat()].join('\r')))
    if (parsed instanceof RecordError) throw parsed
    return parsed.events
      .flatMap((event) => {
        if (event.domain !== 'lab-report') throw new Error(event.domain)
        const { reportNumber, panels, observations } = event.body
        return observations.map(({ panel, code, subId, occurrence, contentHash }) =>
          [reportNumber, panels[panel]?.key, code, subId, occurrence, contentHash].join(' '),
        )
      })
      .sort()
  }
  const alone = groups.flatMap((group) => keysOf([group])).sort()

  test('together, in any order, or one by one', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(groups, { minLength: groups.length }), (shuffled) => {
        expect(keysOf(shuffled)).toEqual(alone)
      }),
      { numRuns: 60 },
    )
  })
})
