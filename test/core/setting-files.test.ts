import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadCatalogue } from '../../catalogue/catalogue.js'
import { checkConfiguration, type Configuration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import { kafkaOptionsOf } from '../../cli/runtime.js'
import { UsageError } from '../../core/errors.js'
import { openDatabase } from '../../repository/database.js'
import { loadCalendar } from '../../services/watch/calendar.js'
import { ownAuthority, type OwnAuthority } from '../gateway/authorities.js'

let ours: OwnAuthority
let other: OwnAuthority
let folder: string
const at = (name: string): string => join(folder, name)
beforeAll(() => {
  ours = ownAuthority('Synthetic authority')
  other = ownAuthority('Another synthetic authority')
  folder = mkdtempSync(join(tmpdir(), 'hutong-setting-'))
  writeFileSync(at('text.pem'), 'not a certificate\n')
  writeFileSync(at('days.json'), '{"source":"x","years":{"2027":{}}}')
})
afterAll(() => {
  for (const { close } of [ours, other]) close()
  rmSync(folder, { recursive: true, force: true })
})

const kafka = (files: object): Configuration =>
  ({ environment: 'test', feeds: [], kafka: { brokers: ['127.0.0.1:9'], tls: true, ...files } }) as never

/** Refused with a sentence for the user, which names the setting and the file. */
function expectNamed(work: () => unknown, setting: string, file: string, why: RegExp): void {
  let thrown: unknown
  try {
    work()
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(UsageError)
  const { message } = thrown as Error
  expect(message).toContain(setting)
  expect(message).toContain(file)
  expect(message).toMatch(why)
}

describe('a file that a configuration names and that cannot be used is named with its setting', () => {
  test.each(['caFile', 'certFile', 'keyFile'])('kafka.%s', (name) => {
    const { certFile, keyFile } = ours.files
    const files = { caFile: certFile, certFile, keyFile, [name]: at('nowhere.pem') }
    expectNamed(() => kafkaOptionsOf(kafka(files)), `kafka.${name}`, at('nowhere.pem'), /ENOENT/)
    const wrong = { ...files, [name]: at('text.pem') }
    expectNamed(() => kafkaOptionsOf(kafka(wrong)), `kafka.${name}`, at('text.pem'), /no certificate|no key/)
  })

  test('kafka: a key of another certificate', () => {
    const files = { certFile: ours.files.certFile, keyFile: other.files.keyFile }
    expectNamed(() => kafkaOptionsOf(kafka(files)), 'kafka.keyFile', other.files.keyFile, /not the key of/)
    const right = kafkaOptionsOf(kafka(ours.files))
    expect(right?.ssl).toMatchObject({ cert: expect.stringContaining('BEGIN CERTIFICATE') })
  })

  test('kafka: files without tls would be of no use', () => {
    const text = (lines: string): string =>
      `environment: test\nkafka:\n  brokers: [b:9092]\n${lines}schemaRegistry: { url: http://r:8081 }\ndatabase: { url: postgresql://db/h }\nfeeds: [{ name: a, hospital: H1, connector: hl7v2-mllp, port: 0 }]\n`
    const problems = (lines: string) => checkConfiguration(text(lines), connectors, {}).problems
    expect(problems('  tls: true\n  caFile: ca.pem\n')).toEqual([])
    expect(problems('  caFile: ca.pem\n')).toMatchObject([{ line: 4, path: 'kafka.caFile' }])
    expect(problems('  tls: true\n  certFile: c.pem\n')).toMatchObject([{ line: 2, path: 'kafka' }])
  })

  test('watch.holidays', () => {
    expectNamed(() => loadCalendar(at('none.json')), 'watch.holidays', at('none.json'), /ENOENT/)
    expectNamed(() => loadCalendar(at('text.pem')), 'watch.holidays', at('text.pem'), /JSON/)
    expectNamed(() => loadCalendar(at('days.json')), 'watch.holidays', at('days.json'), /2027/)
  })

  test('catalogue.mappings', () => {
    const missing = at('codes.tsv')
    expectNamed(() => loadCatalogue({ mappingFiles: [missing] }), 'catalogue.mappings', missing, /ENOENT/)
    expectNamed(
      () => loadCatalogue({ mappingFiles: [missing], setting: '--mappings' }),
      '--mappings',
      missing,
      /ENOENT/,
    )
  })

  test('database.url: the root certificate', async () => {
    const missing = at('root.pem')
    const opening = openDatabase({ url: `postgresql://db.invalid/h?sslmode=verify-full&sslrootcert=${missing}` })
    await expect(opening).rejects.toThrow(UsageError)
    await expect(opening).rejects.toThrow(`database.url: cannot read ${missing}: ENOENT`)
  })
})
