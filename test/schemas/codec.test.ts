import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import avsc, { type Type } from 'avsc'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecordError, RetryableError, UsageError } from '../../core/errors.js'
import { eventNames, loadEventSchemas, type AvroRecord, type EventSchema } from '../../schemas/catalogue.js'
import { codecOf, openCodec, type EventCodec } from '../../schemas/codec.js'
import { embeddedId, embeddedRegistry, UnknownSubject, type SchemaRegistry } from '../../schemas/registry.js'
import type { LabReport } from '../../schemas/types.js'
import { bloodCount } from './sample-events.js'

const schemas = loadEventSchemas()
const labReport = schemas.find(({ event }) => event === 'lab-report')!
const topics = eventNames.map((event) => ({ topic: event, event }))

/** A registry of the texts given; `unreachable` makes it fail as a network does. */
function registryOf(
  texts: ReadonlyMap<number, string>,
  state: { unreachable?: boolean; asked: number },
): SchemaRegistry {
  const byText = new Map([...texts].map(([id, text]) => [text, id]))
  return {
    async idFor(subject, text) {
      const id = byText.get(text)
      if (id === undefined) throw new UnknownSubject(subject)
      return id
    },
    async schemaOf(id) {
      state.asked++
      if (state.unreachable === true) throw new RetryableError('away')
      return texts.get(id)
    },
  }
}

const numbered = (list: readonly EventSchema[]): Map<number, string> =>
  new Map(list.map(({ text }, index) => [index + 1, text]))

function frameOf(id: number, ...parts: readonly (Buffer | number[])[]): Buffer {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(id, 1)
  return Buffer.concat([header, ...parts.map((part) => Buffer.from(part))])
}

async function faultOf(codec: EventCodec, frame: Buffer): Promise<unknown> {
  try {
    await codec.decode('lab-report', frame)
  } catch (error) {
    return error
  }
  return undefined
}

describe('wire format', () => {
  test('a frame is 0x00, the id big-endian and Avro binary, byte for byte', async () => {
    const schema: AvroRecord = {
      type: 'record',
      name: 'LabReport',
      fields: [
        { name: 'a', type: 'string' },
        { name: 'b', type: ['null', 'long'] },
        { name: 'c', type: { type: 'array', items: 'string' } },
      ],
    }
    const list = [{ event: 'lab-report', schema, text: JSON.stringify(schema) } as const]
    const registry = registryOf(new Map([[0x01020304, JSON.stringify(schema)]]), { asked: 0 })
    const codec = await codecOf(registry, list, 'p', [{ topic: 't', event: 'lab-report' }])
    const frame = codec.encode('lab-report', { a: '钾A', b: -3, c: ['', '😀'] } as unknown as LabReport)
    expect(frame.toString('hex')).toBe('00' + '01020304' + '08e992be41' + '0205' + '0400' + '08f09f9880' + '00')
    expect(await codec.decode('lab-report', frame)).toEqual({ a: '钾A', b: -3, c: ['', '😀'] })
  })

  test('plain avsc reads our frames and we read its, for every text, number and presence', async () => {
    const codec = await openCodec({ refuseUndeclared: true })
    const plain: Type = avsc.Type.forSchema(JSON.parse(labReport.text) as never)
    const text = fc.oneof(fc.string({ maxLength: 80, unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 30 }))
    const report = fc.record({
      value: fc.option(text),
      code: text,
      at: fc.option(fc.integer({ min: -(2 ** 52), max: 2 ** 53 - 2 })),
      panel: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      items: fc.integer({ min: 0, max: 40 }),
    })
    fc.assert(
      fc.property(report, ({ value, code, at, panel, items }) => {
        const event = bloodCount(items)
        event.flags = [code, value ?? '']
        event.patient.name = value
        for (const one of event.observations) Object.assign(one, { value, code, observedAt: at, panel })
        const frame = codec.encode('lab-report', event)
        expect(frame.readUInt32BE(1)).toBe(embeddedId(labReport.text))
        expect(frame.subarray(5).equals(plain.toBuffer(event))).toBe(true)
        expect(codec.decode('lab-report', frame)).toEqual(event)
      }),
      { numRuns: 60 },
    )
  })

  test('frames stay as they were while others are encoded, small and larger than a slab', async () => {
    const codec = await openCodec()
    const events = Array.from({ length: 300 }, (_, index) => bloodCount(index % 7 === 0 ? 700 : index % 30, index + 1))
    const frames = events.map((event) => codec.encode('lab-report', event))
    const copies = frames.map((frame) => Buffer.from(frame))
    expect(frames.every((frame, index) => frame.equals(copies[index]!))).toBe(true)
    for (const [index, frame] of frames.entries()) expect(codec.decode('lab-report', frame)).toEqual(events[index])
    expect(frames.some((frame) => frame.length > 64 * 1024)).toBe(true)
  })
})

describe('values without an Avro form', () => {
  const cases: readonly (readonly [string, string, (event: LabReport) => void])[] = [
    ['long beyond 2^53', 'recordedAt', (event) => void (event.recordedAt = 2 ** 53)],
    ['long below -2^52, which zigzag rounds', 'recordedAt', (event) => void (event.recordedAt = -(2 ** 52) - 1)],
    ['fraction', 'messageTime', (event) => void (event.messageTime = 1.5)],
    ['NaN', 'recordedAt', (event) => void (event.recordedAt = Number.NaN)],
    ['int beyond 2^31', 'observations.3.panel', (event) => void (event.observations[3]!.panel = 2 ** 31)],
    ['missing field', 'patient.id', (event) => void delete (event.patient as { id?: string }).id],
    ['missing record', 'patient', (event) => void delete (event as { patient?: unknown }).patient],
    ['undefined for null', 'observations.0.unit', (event) => void (event.observations[0]!.unit = undefined as never)],
    [
      'half a surrogate pair, short',
      'observations.1.value',
      (event) => void (event.observations[1]!.value = 'a\ud83d'),
    ],
    ['half a surrogate pair, long', 'flags.0', (event) => void (event.flags = ['x'.repeat(70) + '\ude00'])],
    ['swapped surrogate pair', 'reportNumber', (event) => void (event.reportNumber = '\ude00\ud83d')],
  ]
  test.for(cases)('%s: the error names %s and quotes nothing', async ([, path, spoil]) => {
    const codec = await openCodec()
    const event = bloodCount()
    event.patient.name = '不可外泄'
    spoil(event)
    let error: unknown
    try {
      codec.encode('lab-report', event)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(RecordError)
    expect((error as RecordError).code).toBe('field-invalid')
    expect((error as RecordError).place.field).toBe(path)
    expect((error as RecordError).message).not.toContain('不可外泄')
    // the codec goes on unharmed
    expect(codec.decode('lab-report', codec.encode('lab-report', bloodCount()))).toEqual(bloodCount())
  })

  test('an undeclared field is refused where tests ask for it', async () => {
    const codec = await openCodec({ refuseUndeclared: true })
    const event = { ...bloodCount(), patientt: 1 } as LabReport
    expect(() => codec.encode('lab-report', event)).toThrow(RecordError)
    const deeper = bloodCount()
    Object.assign(deeper.observations[2]!, { untis: 'g/L' })
    expect(() => codec.encode('lab-report', deeper)).toThrow('observations.2')
    expect(() => codec.encode('lab-report', bloodCount())).not.toThrow()
  })
})

describe('frames that cannot be read', () => {
  const good = frameOf(embeddedId(labReport.text))

  test.for<readonly [string, string, () => Promise<Buffer>]>([
    ['nothing', 'frame-unreadable', async () => Buffer.alloc(0)],
    ['four bytes', 'frame-unreadable', async () => Buffer.alloc(4)],
    ['header alone', 'frame-unreadable', async () => good],
    [
      'another magic byte',
      'frame-unreadable',
      async () => Buffer.concat([Buffer.from([1]), (await sample()).subarray(1)]),
    ],
    ['JSON', 'frame-unreadable', async () => Buffer.from('{"envelope":{}}')],
    ['a byte too few', 'frame-unreadable', async () => (await sample()).subarray(0, -1)],
    ['a byte too many', 'frame-unreadable', async () => Buffer.concat([await sample(), Buffer.from([0])])],
    ['an unknown id', 'frame-unknown-schema', async () => frameOf(4_000_000_000, (await sample()).subarray(5))],
    [
      'larger than allowed',
      'frame-hostile',
      async () => Buffer.concat([await sample(), Buffer.alloc(17 * 1024 * 1024)]),
    ],
  ])('%s: %s', async ([, code, frame]) => {
    const error = await faultOf(await openCodec(), await frame())
    expect(error).toBeInstanceOf(RecordError)
    expect((error as RecordError).code).toBe(code)
  })

  test('every cut and every flipped byte of a frame is read or refused, never anything else', async () => {
    const codec = await openCodec()
    const frame = codec.encode('lab-report', bloodCount(2))
    for (let length = 0; length < frame.length; length++) {
      expect(await faultOf(codec, frame.subarray(0, length))).toBeInstanceOf(RecordError)
    }
    for (let at = 0; at < frame.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const other = Buffer.from(frame)
        other[at]! ^= flip
        const error = await faultOf(codec, other)
        if (error !== undefined) expect(error).toBeInstanceOf(RecordError)
      }
    }
  })

  test('small frames that ask for millions of values are refused in bounded memory and time', () => {
    const script = fileURLToPath(new URL('./hostile-frames.ts', import.meta.url))
    const node = fileURLToPath(new URL('../../node_modules/vite-node/vite-node.mjs', import.meta.url))
    const out = execFileSync(process.execPath, ['--max-old-space-size=128', node, script], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    const results = JSON.parse(out) as { name: string; code: string; grownMiB: number }[]
    expect(results.length).toBeGreaterThanOrEqual(6)
    for (const { name, code, grownMiB } of results) {
      expect([name, code]).toEqual([name, expect.stringMatching(/^frame-(hostile|unreadable)$/)])
      expect(grownMiB, name).toBeLessThan(96)
    }
  })

  test.for<readonly [string, unknown]>([
    ['items of type null', { type: 'array', items: 'null' }],
    ['items that are empty records', { type: 'array', items: { type: 'record', name: 'Empty', fields: [] } }],
    ['a record that contains itself', ['null', 'LabReport']],
    ['an enum', { type: 'enum', name: 'Colour', symbols: ['RED'] }],
    ['a map', { type: 'map', values: 'null' }],
    ['a fixed of no bytes', { type: 'fixed', name: 'Nothing', size: 0 }],
  ])('a writer schema with %s is refused whole', async ([, type]) => {
    const hostile = JSON.stringify({
      type: 'record',
      name: 'LabReport',
      namespace: 'hutong',
      fields: [{ name: 'x', type }],
    })
    const registry = registryOf(new Map([...numbered(schemas), [99, hostile]]), { asked: 0 })
    const codec = await codecOf(registry, schemas, 'p', topics)
    const error = await faultOf(codec, frameOf(99, [0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0]))
    expect(error).toBeInstanceOf(RecordError)
    expect((error as RecordError).code).toBe('frame-hostile')
  })

  test('a schema whose names nest to endless reads is refused', async () => {
    let nested: unknown = {
      type: 'record',
      name: 'R0',
      fields: [
        { name: 'a', type: 'int' },
        { name: 'b', type: 'int' },
      ],
    }
    for (let depth = 1; depth < 30; depth++) {
      nested = {
        type: 'record',
        name: `R${depth}`,
        fields: [
          { name: 'a', type: nested },
          { name: 'b', type: `R${depth - 1}` },
        ],
      }
    }
    const text = JSON.stringify({ type: 'record', name: 'LabReport', fields: [{ name: 'x', type: nested }] })
    const registry = registryOf(new Map([...numbered(schemas), [99, text]]), { asked: 0 })
    const error = await faultOf(await codecOf(registry, schemas, 'p', topics), frameOf(99, [0]))
    expect((error as RecordError).code).toBe('frame-hostile')
  })
})

describe('asking the registry', () => {
  const earlier = withField(labReport, { name: 'old', type: ['null', 'string'], doc: 'x', default: null })
  const known = new Map([...numbered(schemas), [60, earlier.text]])
  const frame = frameOf(60, Buffer.concat([encodedPlain(earlier, { ...bloodCount(), old: null })]))

  test("today's schemas are not asked for, so a role reads on while the registry is away", async () => {
    const state = { asked: 0, unreachable: true }
    const codec = await codecOf(registryOf(known, state), schemas, 'p', topics)
    expect(codec.decode('lab-report', codec.encode('lab-report', bloodCount()))).toEqual(bloodCount())
    expect(state.asked).toBe(0)
  })

  test('each other id is asked once, also where its frames are read at the same time', async () => {
    const state = { asked: 0 }
    const codec = await codecOf(registryOf(known, state), schemas, 'p', topics)
    const all = await Promise.all(Array.from({ length: 50 }, () => codec.decode('lab-report', frame)))
    expect(all).toEqual(Array.from({ length: 50 }, () => bloodCount()))
    for (let count = 0; count < 50; count++) await codec.decode('lab-report', frame)
    expect(state.asked).toBe(1)
  })

  test('an unknown id is asked once for many poison records', async () => {
    const state = { asked: 0 }
    const codec = await codecOf(registryOf(known, state), schemas, 'p', topics)
    for (let count = 0; count < 50; count++) {
      expect(((await faultOf(codec, frameOf(77, [0]))) as RecordError).code).toBe('frame-unknown-schema')
    }
    expect(state.asked).toBe(1)
  })

  test('a registry that is away makes records wait, not die, and is not asked for each of them', async () => {
    const state: { unreachable?: boolean; asked: number } = { unreachable: true, asked: 0 }
    const codec = await codecOf(registryOf(known, state), schemas, 'p', topics)
    for (let count = 0; count < 50; count++) expect(await faultOf(codec, frame)).toBeInstanceOf(RetryableError)
    expect(state.asked).toBe(1)
    state.unreachable = false
    await expect.poll(() => faultOf(codec, frame), { timeout: 5000 }).toBeUndefined()
  })

  test('a role says all subjects that are not registered and what to run', async () => {
    const some = numbered(schemas.filter(({ event }) => event !== 'raw' && event !== 'order'))
    const opening = codecOf(registryOf(some, { asked: 0 }), schemas, 'hutong.test', topics)
    await expect(opening).rejects.toThrow(UsageError)
    await expect(opening).rejects.toThrow(/hutong\.test\.raw-value, hutong\.test\.order-value.*hutong schemas register/)
  })

  test('ids of the embedded registry belong to the text and never collide', async () => {
    const registry = embeddedRegistry()
    const ids = await Promise.all(schemas.map(({ text, event }) => registry.idFor(event, text)))
    expect(new Set(ids).size).toBe(schemas.length)
    for (const [index, id] of ids.entries()) expect(await registry.schemaOf(id)).toBe(schemas[index]!.text)
    expect(await registry.schemaOf(12345)).toBeUndefined()
  })
})

describe('evolution', () => {
  const added = withField(labReport, { name: 'urgency', type: ['null', 'string'], doc: 'x', default: null })
  const old = numbered(schemas)
  const both = new Map([...old, [50, added.text]])

  test('a reader with an added field reads old frames with its default, inside arrays too', async () => {
    const deeper = withObservationField(labReport, { name: 'delta', type: ['null', 'string'], doc: 'x', default: null })
    const newer = await codecOf(
      registryOf(new Map([...old, [51, deeper.text]]), { asked: 0 }),
      replace(deeper),
      'p',
      topics,
    )
    const older = await codecOf(registryOf(old, { asked: 0 }), schemas, 'p', topics)
    const value = await newer.decode('lab-report', older.encode('lab-report', bloodCount()))
    const expected = bloodCount()
    expect(value).toEqual({ ...expected, observations: expected.observations.map((one) => ({ ...one, delta: null })) })
  })

  test('an old reader leaves an added field out, and hostile counts are still refused through a resolver', async () => {
    const newer = await codecOf(registryOf(both, { asked: 0 }), replace(added), 'p', topics)
    const older = await codecOf(registryOf(both, { asked: 0 }), schemas, 'p', topics)
    const event = { ...bloodCount(), urgency: '急' } as LabReport
    expect(await older.decode('lab-report', newer.encode('lab-report', event))).toEqual(bloodCount())
    const frame = newer.encode('lab-report', { ...bloodCount(0), urgency: null } as unknown as LabReport)
    const fault = await faultOf(older, frame.subarray(0, -3))
    expect(fault).toBeInstanceOf(RecordError)
  })

  function replace(schema: EventSchema): readonly EventSchema[] {
    return schemas.map((one) => (one.event === schema.event ? schema : one))
  }
})

function encodedPlain({ text }: EventSchema, value: unknown): Buffer {
  const type: Type = avsc.Type.forSchema(JSON.parse(text) as never)
  return type.toBuffer(value)
}

async function sample(): Promise<Buffer> {
  return (await openCodec()).encode('lab-report', bloodCount())
}

function withField({ event, schema }: EventSchema, field: AvroRecord['fields'][number]): EventSchema {
  const changed = { ...schema, fields: [...schema.fields, field] }
  return { event, schema: changed, text: JSON.stringify(changed) }
}

function withObservationField({ event, schema }: EventSchema, added: AvroRecord['fields'][number]): EventSchema {
  const fields = schema.fields.map((field) => {
    if (field.name !== 'observations') return field
    const { items } = field.type as { items: AvroRecord }
    return { ...field, type: { type: 'array' as const, items: { ...items, fields: [...items.fields, added] } } }
  })
  const changed = { ...schema, fields }
  return { event, schema: changed, text: JSON.stringify(changed) }
}
