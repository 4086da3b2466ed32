import { describe, expect, test } from 'vitest'
import type { FeedConfig } from '../../cli/config.js'
import { demoHospitals, type HospitalCode } from '../../cli/demo/hospitals.js'
import { contentOf } from '../../cli/demo/journal.js'
import { hospitalMessages, take, type GeneratedMessage } from '../../cli/demo/messages.js'
import { delimiterTrailNames, fourByteNames, idCheckCharacter, person } from '../../cli/demo/persons.js'
import { Random } from '../../cli/demo/random.js'
import type { Parsed } from '../../connectors/connector.js'
import { hl7v2Parser } from '../../connectors/hl7v2/to-events.js'
import { readHeader } from '../../connectors/hl7v2/header.js'
import { messageId } from '../../core/ids.js'
import type { RecordError } from '../../core/errors.js'

const seed = 4711
const codes = demoHospitals.map(({ code }) => code)

const generate = (hospital: HospitalCode, count: number, from = seed): GeneratedMessage[] => [
  ...take(hospitalMessages({ hospital, seed: from }), count),
]

function parserOf(hospital: HospitalCode): (message: GeneratedMessage) => Parsed {
  const found = demoHospitals.find(({ code }) => code === hospital)
  if (found === undefined) throw new Error(hospital)
  const settings: FeedConfig['settings'] = found.parseSettings
  const parse = hl7v2Parser(settings)
  return (message) => {
    const content = contentOf(message)
    const { feed } = found
    const receivedAt = Date.UTC(2025, 2, 3, 8)
    return parse({ content, feed, hospital, environment: 'test', receivedAt, messageId: messageId(feed, content) })
  }
}

describe.each(codes)('messages of %s', (hospital) => {
  const messages = generate(hospital, 3000)
  const parse = parserOf(hospital)

  test('the seed gives the same bytes again, another seed others', () => {
    const again = generate(hospital, 300)
    expect(again.map((message, index) => contentOf(message).equals(contentOf(messages[index]!)))).not.toContain(false)
    expect(contentOf(generate(hospital, 1, seed + 1)[0]!)).not.toEqual(contentOf(messages[0]!))
  })

  test('control ids are unique but for messages sent twice, and stand in MSH-10', () => {
    const first = messages.filter(({ kind }) => kind !== 'duplicate')
    expect(new Set(first.map(({ controlId }) => controlId)).size).toBe(first.length)
    for (const message of messages) expect(readHeader(contentOf(message)).controlId).toBe(message.controlId)
  })

  test('each is read as what it is; each broken one becomes the dead letter it was made for', () => {
    const faults = new Set<string>()
    for (const message of messages) {
      if (message.fault !== undefined) {
        expect(() => parse(message), message.controlId).toThrow(expect.objectContaining({ code: message.fault }))
        faults.add(message.fault)
        continue
      }
      let parsed: Parsed
      try {
        parsed = parse(message)
      } catch (error) {
        throw new Error(`${message.kind} ${message.controlId}: ${(error as RecordError).message}`, { cause: error })
      }
      expect(parsed.controlId).toBe(message.controlId)
      expect([message.kind, parsed.events.map(({ domain }) => domain)]).toEqual([
        message.kind,
        domainsOf(message, parsed),
      ])
      for (const event of parsed.events) {
        if (event.domain === 'lab-report' || event.domain === 'imaging-report') {
          expect(event.body.reportNumber).toBe(message.reportNumber)
          expect(event.body.patient.idNumber ?? null).toBeNull()
          expect(event.body.patient.name).toMatch(/^\p{Script=Han}{2,4}$/u)
        }
      }
    }
    if (hospital === 'H002') {
      expect([...faults].sort()).toEqual([
        'charset-undecodable',
        'field-invalid',
        'hl7-bad-segment',
        'patient-id-missing',
        'report-number-missing',
      ])
    }
  })

  test('a blood count has 24 results with units and is about 3 KB', () => {
    const counts = messages.filter((message) => message.kind === 'original' && bloodCount(parse(message)) !== undefined)
    expect(counts.length).toBeGreaterThan(1000)
    const body = bloodCount(parse(counts[0]!))!
    expect(body.observations).toHaveLength(24)
    expect(body.observations.every(({ value, unit }) => /^\d+(\.\d+)?$/.test(value ?? '') && unit !== null)).toBe(true)
    const size = contentOf(counts[0]!).length
    expect(size).toBeGreaterThan(1900)
    expect(size).toBeLessThan(3500)
  })
})

function bloodCount(parsed: Parsed) {
  const [event] = parsed.events
  return event?.domain === 'lab-report' && /^(P01|Z01|58410-2)$/.test(event.body.panels[0]?.code ?? '')
    ? event.body
    : undefined
}

function domainsOf({ kind }: GeneratedMessage, parsed: Parsed): string[] {
  switch (kind) {
    case 'unused':
      return []
    case 'imaging':
      return ['imaging-report']
    case 'order':
      return ['order']
    case 'merge':
      return ['patient']
    case 'adt':
      return parsed.messageType === 'ADT^A04' ? ['patient'] : ['patient', 'encounter']
    default:
      return ['lab-report']
  }
}

describe('H002', () => {
  const messages = generate('H002', 3000)

  test('writes GBK whatever MSH-18 says', () => {
    const claims = new Set(messages.map((message) => readHeader(contentOf(message)).characterSet))
    expect([...claims].sort()).toEqual(['', 'ASCII', 'UNICODE UTF-8'])
    const good = messages.filter(({ fault }) => fault === undefined)
    const strict = (charset: string) => new TextDecoder(charset, { fatal: true })
    for (const message of good) {
      expect(() => strict('utf-8').decode(contentOf(message)), message.controlId).toThrow()
      expect(() => strict('gb18030').decode(contentOf(message)), message.controlId).not.toThrow()
    }
  })

  test('has names whose second byte is a delimiter, and names GBK lacks', () => {
    const text = messages.map((message) => new TextDecoder('gb18030').decode(contentOf(message))).join('')
    for (const character of [...delimiterTrailNames, ...fourByteNames]) expect(text, character).toContain(character)
  })

  test('sends every history: duplicates, corrections, withdrawals, late preliminaries, F W F', () => {
    const kinds = new Set(messages.map(({ kind }) => kind))
    for (const kind of [
      'duplicate',
      'correction',
      'withdrawal',
      'preliminary',
      're-verification',
      'merge',
      'broken',
    ] as const) {
      expect(kinds, kind).toContain(kind)
    }
    const duplicate = messages.find(({ kind }) => kind === 'duplicate')!
    const original = messages.find(({ controlId, kind }) => controlId === duplicate.controlId && kind !== 'duplicate')!
    expect(contentOf(duplicate)).toEqual(contentOf(original))
  })
})

describe('H003', () => {
  test('reports pictures, cultures with linked susceptibilities, and pathology with its sheet', () => {
    const parse = parserOf('H003')
    const bodies = generate('H003', 1500)
      .filter(({ fault }) => fault === undefined)
      .flatMap((message) => [...parse(message).events])
    const labs = bodies.filter((event) => event.domain === 'lab-report').map(({ body }) => body)
    const culture = labs.find(({ kind, panels }) => kind === 'microbiology' && panels.length === 2)!
    expect(culture.panels[1]!.key).toBe(`${culture.panels[1]!.code}@634-6/1`)
    const pathology = labs.find(({ kind }) => kind === 'pathology')!
    expect(pathology.documents[0]).toMatchObject({ mediaType: 'application/pdf' })
    const imaging = bodies.filter((event) => event.domain === 'imaging-report').map(({ body }) => body)
    expect(imaging[0]!.sections.map(({ kind }) => kind)).toEqual(['findings', 'impression'])
    expect(imaging[0]!.studyInstanceUid).toMatch(/^2\.25\.\d+$/)
    expect(imaging.every(({ bodyPart, modality, accessionNumber }) => bodyPart && modality && accessionNumber)).toBe(
      true,
    )
  })
})

describe('persons', () => {
  test('do not exist: no such area, no such network, yet a right check character', () => {
    for (let index = 1; index <= 500; index++) {
      const { idNumber, phone, birthDate, sex } = person(new Random(seed), index, { numberPrefix: 'P' })
      expect(idNumber).toMatch(/^999999\d{11}[\dX]$/)
      expect(idNumber.slice(6, 14)).toBe(birthDate)
      expect(Number(idNumber[16]) % 2).toBe(sex === 'M' ? 1 : 0)
      expect(idCheckCharacter(idNumber.slice(0, 17))).toBe(idNumber[17])
      expect(phone).toMatch(/^000\d{8}$/)
    }
  })

  test('the check character is that of GB 11643-1999', () => {
    expect(idCheckCharacter('11010519491231002')).toBe('X')
  })
})
