import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RetryableError, UsageError } from '../../core/errors.js'
import { readEnvironment } from '../../core/environment.js'
import { loadEventSchemas, subjectOf, type EventSchema } from '../../schemas/catalogue.js'
import { codecOf, openCodec } from '../../schemas/codec.js'
import { registerSchemas } from '../../schemas/compatibility.js'
import { confluentRegistry, SchemaRefused } from '../../schemas/confluent-registry.js'
import { UnknownSubject } from '../../schemas/registry.js'
import { bloodCount } from './sample-events.js'

const { schemaRegistryUrl, ci } = readEnvironment()

test('CI has a real schema registry', () => {
  if (ci) expect(schemaRegistryUrl, 'HUTONG_SCHEMA_REGISTRY_URL').toBeDefined()
})

describe.skipIf(schemaRegistryUrl === undefined)('a real schema registry', () => {
  const url = schemaRegistryUrl ?? ''
  const prefix = `test-${randomUUID()}`
  const topics = [
    { topic: 'raw', event: 'raw' },
    { topic: 'lab-report.received', event: 'lab-report' },
    { topic: 'lab-report.normalized', event: 'lab-report' },
  ] as const
  const subjects = topics.map(({ topic }) => subjectOf(prefix, topic))
  const schemas = loadEventSchemas()
  const call = async (path: string, method = 'GET', body?: object): Promise<unknown> => {
    const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
    const response = await fetch(`${url}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    return response.json()
  }

  beforeAll(async () => {
    await expect(openCodec({ registryUrl: url, prefix, topics })).rejects.toThrow(
      new RegExp(`${subjects.join(', ')}.*hutong schemas register`),
    )
    expect(await registerSchemas(url, prefix, topics)).toMatchObject({
      violations: [],
      registered: subjects.map((subject) => ({ subject, id: expect.any(Number) })),
    })
  })
  afterAll(async () => {
    for (const subject of subjects) await call(`/subjects/${subject}`, 'DELETE')
  })

  test('registers under FULL_TRANSITIVE, and again changes nothing', async () => {
    for (const subject of subjects) {
      expect(await call(`/config/${subject}`)).toEqual({ compatibilityLevel: 'FULL_TRANSITIVE' })
      expect(await call(`/subjects/${subject}/versions`)).toEqual([1])
    }
    const again = await registerSchemas(url, prefix, topics)
    expect(again.registered.map(({ subject }) => subject)).toEqual(subjects)
    for (const subject of subjects) expect(await call(`/subjects/${subject}/versions`)).toEqual([1])
  })

  test('a role of another process reads what one wrote', async () => {
    const writer = await openCodec({ registryUrl: url, prefix, topics })
    const frame = writer.encode('lab-report', bloodCount())
    const reader = await codecOf(confluentRegistry(url), schemas, prefix, [{ topic: 'raw', event: 'raw' }])
    expect(await reader.decode('lab-report', frame)).toEqual(bloodCount())
    await expect(async () => reader.decode('lab-report', Buffer.from('007fffffff00', 'hex'))).rejects.toMatchObject({
      code: 'frame-unknown-schema',
    })
  })

  test('a breaking version is told with its path and is not registered, by us nor by the registry', async () => {
    const broken = schemas.map((one) => (one.event === 'raw' ? withoutSeq(one) : one))
    const { registered, violations } = await registerSchemas(url, prefix, topics, broken)
    expect(registered).toEqual([])
    expect(violations).toContainEqual(
      expect.objectContaining({ subject: subjects[0], path: 'seq', against: 'version 1 on the registry' }),
    )
    const registry = confluentRegistry(url)
    await expect(registry.register(subjects[0]!, broken[0]!.text)).rejects.toThrow(SchemaRefused)
    expect(await call(`/subjects/${subjects[0]}/versions`)).toEqual([1])
  })

  test('a schema that is not registered has no id, and looking for it registers nothing', async () => {
    const registry = confluentRegistry(`${url}/`)
    await expect(registry.idFor(subjects[0]!, withoutSeq(schemas[0]!).text)).rejects.toThrow(UnknownSubject)
    await expect(registry.idFor(`${prefix}.nothing-value`, schemas[0]!.text)).rejects.toThrow(UnknownSubject)
    expect(await call(`/subjects/${subjects[0]}/versions`)).toEqual([1])
    expect(await registry.versions(`${prefix}.nothing-value`)).toEqual(new Map())
  })
})

test('a registry that is not there is a matter of waiting, a wrong URL is not', async () => {
  const registry = confluentRegistry('http://127.0.0.1:9')
  await expect(registry.idFor('s', '{}')).rejects.toThrow(RetryableError)
  await expect(registry.schemaOf(1)).rejects.toThrow(RetryableError)
  await expect(registry.schemaOf(1)).rejects.toThrow('127.0.0.1:9')
  expect(() => confluentRegistry('registry')).toThrow(UsageError)
})

function withoutSeq({ event, schema }: EventSchema): EventSchema {
  const changed = { ...schema, fields: schema.fields.filter(({ name }) => name !== 'seq') }
  return { event, schema: changed, text: JSON.stringify(changed) }
}
