import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse as parseYaml } from 'yaml'
import type { RawInput } from '../../connectors/connector.js'
import type { AstmParseOptions } from '../../connectors/astm-lis2/parse-options.js'
import { astmParser } from '../../connectors/astm-lis2/to-events.js'
import { RecordError } from '../../core/errors.js'
import { messageId } from '../../core/ids.js'

/**
 * Each folder of test/golden/astm-lis2 is a case: input.astm, feed.yaml (the nearest one upwards) and expected.json, in which
 * nulls and empty lists are left out. `UPDATE_GOLDEN=1` writes what came out; read the difference before committing it.
 */
const root = join(import.meta.dirname, '..', 'golden', 'astm-lis2')
const cases = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)
  .sort()

interface Outcome {
  readonly events: readonly unknown[]
  readonly deadLetters: readonly unknown[]
  readonly ignored: readonly unknown[]
}

function run(folder: string): Outcome {
  const { parser, input } = caseOf(folder)
  try {
    const { controlId, messageType, events, ignored } = parser(input)
    expect(controlId, 'controlId').toMatch(/^G\d{4}$/)
    expect(messageType, 'messageType').toMatch(/^(ASTM|ORU)/)
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

function caseOf(folder: string): { readonly parser: ReturnType<typeof astmParser>; readonly input: RawInput } {
  let dir = folder
  while (!existsSync(join(dir, 'feed.yaml'))) dir = dirname(dir)
  const feed = parseYaml(readFileSync(join(dir, 'feed.yaml'), 'utf8')) as Record<string, string> & AstmParseOptions
  const { name = '', hospital = '', environment = '', receivedAt = '', ...options } = feed
  const content = readFileSync(join(folder, 'input.astm'))
  return {
    parser: astmParser(options as AstmParseOptions),
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

describe('golden LIS2-A2 cases', () => {
  test('there are enough of them to stand for the mapping', () => {
    expect(cases.length).toBeGreaterThanOrEqual(35)
  })

  test.each(cases)('%s', (name) => {
    const folder = join(root, name)
    const outcome = run(folder)
    const file = join(folder, 'expected.json')
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, `${JSON.stringify(outcome, null, 1)}\n`)
    expect(existsSync(file), `${file} is missing: run with UPDATE_GOLDEN=1 and read what it wrote`).toBe(true)
    expect(outcome).toEqual(JSON.parse(readFileSync(file, 'utf8')))
  })

  test.each(cases)('%s: the same again', (name) => {
    const folder = join(root, name)
    expect(run(folder)).toEqual(run(folder))
  })
})
