import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  admissionTriggers,
  ignoredTypes,
  readTypes,
  treatmentOf,
  type Treatment,
} from '../../connectors/hl7v2/message-types.js'

/** The tables of docs/messages.md are made from the dispatch table; `UPDATE_GOLDEN=1` writes them. */
const file = join(import.meta.dirname, '..', '..', 'docs', 'messages.md')

function outcome(treatment: Treatment): string {
  if ('ignore' in treatment) return `ignored \`${treatment.ignore}\` | ${treatment.why}`
  if (treatment.read !== 'administration') return `read | ${treatment.read}`
  const { administration } = treatment
  if (administration.action === 'merge') return 'merge | visits are left alone'
  return `state | ${administration.encounter === 'none' ? 'visits are left alone' : `visit: ${administration.encounter}`}`
}

const rows = (table: Readonly<Record<string, Treatment>>): string[] =>
  Object.entries(table)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, treatment]) => `| ${name} | ${outcome(treatment)} |`)

const tables: Readonly<Record<string, string>> = {
  types: [
    '| MSH-9.1 | outcome | as |',
    '|---|---|---|',
    ...rows(readTypes),
    '| ADT | by trigger | patient administration |',
  ].join('\n'),
  triggers: [
    '| MSH-9.2 | outcome | |',
    '|---|---|---|',
    ...rows(admissionTriggers),
    '| any other | ignored `message-type-not-used` | |',
  ].join('\n'),
  ignored: [
    '| MSH-9.1 | outcome | what it would carry |',
    '|---|---|---|',
    ...rows(ignoredTypes),
    '| Z.. | ignored `message-type-not-used` | a message of the sender’s own |',
    '| any other | error `field-invalid` | no message type of HL7 v2 |',
  ].join('\n'),
}

test('docs/messages.md says what the dispatch table does', () => {
  let page = readFileSync(file, 'utf8')
  for (const [name, table] of Object.entries(tables)) {
    const section = new RegExp(`(<!-- generated: ${name} -->\n)[\\s\\S]*?(<!-- end -->)`)
    expect(page).toMatch(section)
    page = page.replace(section, (_whole, start: string, end: string) => `${start}\n${table}\n\n${end}`)
  }
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, page)
  expect(readFileSync(file, 'utf8')).toBe(page)
})

test('no message code is both read and ignored, and unknown ones are neither', () => {
  for (const code of Object.keys(readTypes)) expect(ignoredTypes).not.toHaveProperty(code)
  expect(treatmentOf('OUR', 'R01')).toBeUndefined()
  expect(treatmentOf('', '')).toBeUndefined()
  expect(treatmentOf('ZLR', 'Z01')).toMatchObject({ ignore: 'message-type-not-used' })
  expect(treatmentOf('ADT', '')).toMatchObject({ ignore: 'message-type-not-used' })
})
