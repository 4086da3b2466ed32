import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import type { Parser, RawInput } from '../connectors/connector.js'
import { RecordError } from '../core/errors.js'
import { messageId } from '../core/ids.js'

/** The golden cases of one format. */
export interface GoldenCases<Options> {
  /** Folder below test/golden. */
  readonly name: string
  /** Name of the message of a case. */
  readonly input: string
  /** At least so many stand for the mapping. */
  readonly casesMin: number
  readonly parser: (options: Options) => Parser
  readonly messageType: RegExp
}

interface Outcome {
  readonly events: readonly unknown[]
  readonly deadLetters: readonly unknown[]
  readonly ignored: readonly unknown[]
}

/**
 * Each folder is a case: the input, feed.yaml (the nearest one upwards) and expected.json, in which nulls and empty lists are
 * left out. `UPDATE_GOLDEN=1` writes what came out; read the difference before committing it.
 */
export function goldenCases<Options>(golden: GoldenCases<Options>): void {
  const root = join(import.meta.dirname, 'golden', golden.name)
  const cases = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()

  describe(`golden cases of ${golden.name}`, () => {
    test('there are enough of them to stand for the mapping', () => {
      expect(cases.length).toBeGreaterThanOrEqual(golden.casesMin)
    })

    test.each(cases)('%s', (name) => {
      const folder = join(root, name)
      const outcome = run(golden, folder)
      const file = join(folder, 'expected.json')
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, `${JSON.stringify(outcome, null, 1)}\n`)
      expect(existsSync(file), `${file} is missing: run with UPDATE_GOLDEN=1 and read what it wrote`).toBe(true)
      expect(outcome).toEqual(JSON.parse(readFileSync(file, 'utf8')))
    })

    test.each(cases)('%s: the same again', (name) => {
      const folder = join(root, name)
      expect(run(golden, folder)).toEqual(run(golden, folder))
    })
  })
}

function run<Options>(golden: GoldenCases<Options>, folder: string): Outcome {
  const { parser, input } = caseOf(golden, folder)
  try {
    const { controlId, messageType, events, ignored } = parser(input)
    expect(controlId, 'controlId').toMatch(/^G\d{4}$/)
    expect(messageType, 'messageType').toMatch(golden.messageType)
    expect(events.length > 0, 'events or a reason, never both').toBe(ignored === undefined)
    return {
      events: events.map(({ domain, body }) => ({ domain, ...stated(body) })),
      deadLetters: [],
      ignored: ignored === undefined ? [] : [ignored],
    }
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    return { events: [], deadLetters: [{ code: error.code, message: error.message, ...error.place }], ignored: [] }
  }
}

function caseOf<Options>(
  golden: GoldenCases<Options>,
  folder: string,
): { readonly parser: Parser; readonly input: RawInput } {
  let dir = folder
  while (!existsSync(join(dir, 'feed.yaml'))) dir = dirname(dir)
  const feed = parseYaml(readFileSync(join(dir, 'feed.yaml'), 'utf8')) as Record<string, string>
  const { name = '', hospital = '', environment = '', receivedAt = '', ...options } = feed
  const content = readFileSync(join(folder, golden.input))
  return {
    parser: golden.parser(options as Options),
    input: {
      content,
      feed: name,
      hospital,
      environment,
      receivedAt: Date.parse(receivedAt),
      messageId: messageId(name, content),
    },
  }
}

/** Without nulls and empty lists, so that a person can read it. */
function stated<T extends object>(value: T): object {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      part === null || (Array.isArray(part) && part.length === 0) ? undefined : part,
    ),
  ) as object
}
