import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { lintMappings, loadCatalogue } from '../../catalogue/catalogue.js'
import { checkConfiguration } from '../../cli/config.js'
import { connectors } from '../../cli/connectors.js'
import { contentOf } from '../../cli/demo/journal.js'
import { hospitalMessages, take } from '../../cli/demo/messages.js'
import { filesOf } from '../../cli/files.js'
import { replay } from '../../cli/replay.js'
import { configurationText, mappingText, writeDraft } from '../../cli/sniff/draft.js'
import { addressOf, hearPeer, hearSenders } from '../../cli/sniff/line.js'
import { reportText } from '../../cli/sniff/render.js'
import { reportOf, type SniffReport } from '../../cli/sniff/report.js'
import { Sample } from '../../cli/sniff/sample.js'
import { sniffTexts } from '../../cli/sniff/texts.js'

vi.setConfig({ testTimeout: 120_000 })

const now = Date.parse('2026-06-01T00:00:00Z')
const catalogue = loadCatalogue()
const corpus = resolve(import.meta.dirname, '../../../shared/corpus')
let dir: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hutong-sniff-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

function reportOn(content: Buffer, hospital = 'H900'): SniffReport {
  const sample = new Sample({ messagesMax: 100_000 }, now)
  sample.addBytes(content)
  return reportOf(sample, catalogue, hospital)
}

const hl7 = (report: SniffReport): NonNullable<SniffReport['hl7']> => {
  if (report.hl7 === null) throw new Error('no HL7 v2 was found')
  return report.hl7
}

/** A message in GBK: the hanzi of these tests are all in it. */
const gbkBytes: Readonly<Record<string, string>> = { 血: 'd1aa', 钾: 'bcd8', 林: 'c1d6', 岚: 'e1b0' }
const gbk = (text: string): Buffer =>
  Buffer.concat(
    Array.from(text, (character) =>
      gbkBytes[character] === undefined ? Buffer.from(character, 'latin1') : Buffer.from(gbkBytes[character], 'hex'),
    ),
  )

interface Written {
  readonly id?: string
  readonly patient?: string
  readonly report?: string
  readonly day?: string
  readonly claim?: string
  readonly obx?: string
}

function message({ id = '1', patient = 'P00017', report = 'R1', day = '20260105', claim = '', obx }: Written): string {
  return [
    `MSH|^~\\&|LIS|HOSP|||${day}083000||ORU^R01|${id}|P|2.4||||||${claim}`,
    `PID|1||${patient}^^^^MR||林岚||19900101|F`,
    `OBR|1||${report}|2001^血钾|||${day}080000|||||||||||||||${day}082900|||F`,
    obx ?? `OBX|1|NM|K^血钾^L||4.1|mmol/L|3.5-5.3|N|||F`,
  ].join('\r')
}

describe.each(['H001', 'H002', 'H003'] as const)('the dialect of %s', (hospital) => {
  const messages = [...take(hospitalMessages({ hospital, seed: 4711 }), 300)]
  const stream = Buffer.concat(messages.map(({ frame }) => frame))
  const report = reportOn(stream, hospital)

  test('is recognised, every message counted', () => {
    expect(report.families.map(({ family }) => family)).toEqual(['hl7v2-mllp'])
    expect(hl7(report).messages).toBe(messages.length)
  })

  test('its codes find the items that its mapping file gives them', () => {
    const mapped = loadCatalogue({
      mappingFiles: [resolve(import.meta.dirname, `../../catalogue/data/mappings/demo-${hospital.toLowerCase()}.tsv`)],
    })
    const certain = hl7(report).codes.filter(({ proposal }) => proposal?.confidence === 'certain')
    const high = hl7(report).codes.filter(({ proposal }) => proposal?.confidence === 'high')
    expect(certain.length + high.length).toBeGreaterThan(20)
    for (const { code, name, sourceSystem, proposal } of [...certain, ...high]) {
      const item = mapped.itemFor(hospital, sourceSystem, code, name)
      if (item !== null) expect(proposal?.itemId, `${code} ${name}`).toBe(item.id)
    }
  })

  test('the drafted files pass the check, and nothing of a patient stands in them or in the report', () => {
    const configuration = configurationText(report, join(dir, 'mapping.tsv'))
    expect(checkConfiguration(configuration, connectors, {}).problems).toEqual([])
    const mapping = mappingText(report)
    expect(lintMappings([{ name: 'mapping.tsv', text: mapping }])).toEqual([])
    const told = [
      configuration,
      mapping,
      JSON.stringify(report),
      reportText(report, sniffTexts('zh')),
      reportText(report, sniffTexts('en')),
    ].join('\n')
    for (const one of messages.slice(0, 100)) {
      const text = contentOf(one).toString('latin1')
      const number = /\rPID\|[^|]*\|([^|]*)\|([^|^~]*)/.exec(text)
      for (const value of [number?.[1], number?.[2]]) {
        if (value !== undefined && value.length > 5) expect(told).not.toContain(value)
      }
    }
  })
})

test('the charset is declared only where the header lies or is silent', () => {
  expect(hl7(reportOn(Buffer.concat([...demoFrames('H002')]))).draft.settings.charset).toBe('GB18030')
  expect(hl7(reportOn(Buffer.concat([...demoFrames('H001')]))).draft.settings.charset).toBeUndefined()
  const lying = Buffer.concat(
    Array.from({ length: 20 }, (_, index) =>
      Buffer.concat([gbk(message({ id: `${index}`, claim: 'UNICODE UTF-8' })), Buffer.from('\r')]),
    ),
  )
  const reading = hl7(reportOn(lying))
  expect(reading.charset).toMatchObject({ beyondAscii: 20, lies: 20, strictly: { gb18030: 20, 'utf-8': 0 } })
  expect(reading.draft.settings.charset).toBe('GB18030')
})

function* demoFrames(hospital: 'H001' | 'H002'): Generator<Buffer> {
  for (const { frame } of take(hospitalMessages({ hospital, seed: 7 }), 150)) yield frame
}

test('a counter that starts again each day is seen by its patients', () => {
  const content = [1, 2, 3, 4].flatMap((number) =>
    ['20260105', '20260106'].map((day) =>
      message({ id: `${day}${number}`, report: `${number}`, day, patient: `P${day}${number}` }),
    ),
  )
  const reading = hl7(reportOn(gbk(content.join('\r'))))
  expect(reading.reportNumbers).toMatchObject({ groups: 8, overPatients: 4, recycles: 'day' })
  expect(reading.draft.settings.reportNumberRecycles).toBe('day')
})

test('code, name and unit that agree on one item are certain; another specimen or unit never is', () => {
  const of = (obx: string) =>
    hl7(reportOn(gbk(message({ obx })))).codes.find(({ place }) => place === 'OBX-3')?.proposal
  const line = (code: string, name: string, unit: string) =>
    hl7(
      reportOn(Buffer.from(message({ obx: `OBX|1|NM|${code}^${name}^L||4.1|${unit}||N|||F`, claim: 'UNICODE UTF-8' }))),
    ).codes.find(({ place }) => place === 'OBX-3')?.proposal
  expect(line('WBC', '白细胞计数', '10^9/L')).toMatchObject({ itemId: 'LAB071', confidence: 'certain' })
  expect(line('WBC', '白细胞计数', 'mmol/L')?.confidence).not.toBe('certain')
  expect(line('GLU', '葡萄糖(尿)', 'mmol/L')?.confidence).not.toBe('certain')
  expect(line('WBC', '', '10^9/L')?.confidence).not.toBe('certain')
  expect(of('OBX|1|NM|QQQQ||4.1|||N|||F')).toBeNull()
})

test('a code read by its LOINC code gets no row, and the system is named even where it assigns the numbers', () => {
  const obx = 'OBX|1|NM|718-7^Hemoglobin^LN||131|g/L|||||F'
  const report = reportOn(gbk(message({ obx }).replace('^^^^MR', '^^^LIS^MR').replace('|HOSP|', '|LIS|')))
  const seen = hl7(report).codes.find(({ place }) => place === 'OBX-3')
  expect(seen).toMatchObject({ sourceSystem: 'LIS', matched: { itemId: 'LAB073', via: 'loinc' }, proposal: null })
  expect(mappingText(report)).toContain('\n#  H900\tLIS\t718-7\tHemoglobin\tLAB073')
})

test('patient data that a sender put into coded fields is hidden and told', () => {
  const obx = 'OBX|1|NM|P00017^林岚^L||4.1|林岚|||||F'
  const report = reportOn(gbk(message({ obx })))
  const told = JSON.stringify(report) + reportText(report, sniffTexts('zh')) + mappingText(report)
  expect(told).not.toContain('林岚')
  expect(told).not.toContain('P00017')
  expect(hl7(report).hidden).toBeGreaterThan(0)
  expect(hl7(report).draft.advice.map(({ code }) => code)).toContain('personal-data-in-codes')
})

describe('families', () => {
  const dicom = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM')])
  test.each<[string, Buffer]>([
    ['hl7v2', Buffer.from(message({}), 'latin1')],
    ['hl7v2-batch', Buffer.from(`FHS|^~\\&|LIS\rBHS|^~\\&|LIS\r${message({})}\rBTS|1\rFTS|1\r`, 'latin1')],
    ['hl7-xml', Buffer.from('<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>')],
    ['astm', Buffer.from('\x05\x021H|\\^&|||BC||||||||1\r\x03E5\r\n', 'latin1')],
    ['astm', Buffer.from('\x05')],
    ['dicom', dicom],
    ['http', Buffer.from('POST /hl7 HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['text', Buffer.from('a,b,c\n1,2,3\n4,5,6\n')],
    ['empty', Buffer.alloc(0)],
    ['unknown', Buffer.from('504b030414000600', 'hex')],
  ])('%s', (family, content) => {
    expect(reportOn(content).families.map(({ family: found }) => found)).toEqual([family])
  })
})

test('no bytes make it throw', () => {
  let state = 20_260_601
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
  const whole = gbk(message({}))
  for (let round = 0; round < 300; round++) {
    const broken = Buffer.from(whole)
    for (let times = next() % 40; times >= 0; times--) broken[next() % broken.length] = next() & 0xff
    const report = reportOn(broken.subarray(0, next() % 5 === 0 ? next() % broken.length : broken.length))
    expect(lintMappings([{ name: 'm', text: mappingText(report) }]), `round ${round}`).toEqual([])
    expect(checkConfiguration(configurationText(report, 'm.tsv'), connectors, {}).problems).toEqual([])
    reportText(report, sniffTexts('en'))
  }
})

test('what was drafted stores the sample it was drafted from', async () => {
  const out = join(dir, 'draft')
  const file = join(dir, 'h002.hl7')
  const messages = [...take(hospitalMessages({ hospital: 'H002', seed: 99 }), 60)].filter(
    ({ kind }) => kind !== 'broken',
  )
  await writeFile(file, Buffer.concat(messages.map(({ frame }) => frame)))
  const sample = new Sample({ messagesMax: 1000 }, now)
  await sample.addFile(file, () => undefined)
  const files = await writeDraft(reportOf(sample, catalogue, 'H002'), out, false)
  await expect(writeDraft(reportOf(sample, catalogue, 'H002'), out, false)).rejects.toThrow(/--force/)
  const { configuration, problems } = checkConfiguration(await readFile(files.configuration, 'utf8'), connectors, {})
  expect(problems).toEqual([])
  if (configuration === undefined) throw new Error('no configuration')
  const result = await replay({ ...configuration, dataDir: join(dir, 'data'), logLevel: 'error' }, filesOf([file]), {
    feed: configuration.feeds[0]!.name,
    progress: () => undefined,
  })
  expect(result).toMatchObject({ received: messages.length, deadLettered: 0, refused: 0, inFlight: 0 })
  expect(result.stored).toBeGreaterThan(messages.length / 2)
})

describe('lines', () => {
  test('addresses and paths are told apart', () => {
    expect(addressOf('10.0.0.1:2575')).toEqual({ host: '10.0.0.1', port: 2575 })
    expect(addressOf('[::1]:80')).toEqual({ host: '::1', port: 80 })
    expect(addressOf('C:\\samples')).toBeUndefined()
    expect(addressOf('lis:99999')).toBeUndefined()
  })

  test('a peer that sends on connect is heard and nothing is sent to it', async () => {
    let sent = 0
    const server = createServer((socket) => {
      socket.on('data', (chunk: Buffer) => (sent += chunk.length))
      socket.on('error', () => undefined)
      socket.end(Buffer.concat([Buffer.from([0x0b]), gbk(message({})), Buffer.from([0x1c, 0x0d])]))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const heard = await hearPeer({ host: '127.0.0.1', port, waitMs: 10_000, progress: () => undefined })
    await new Promise((done) => server.close(done))
    expect(heard.report).toMatchObject({ spokeFirst: 'peer', closedBy: 'peer' })
    expect(sent).toBe(0)
    expect(hl7(reportOn(heard.streams[0] ?? Buffer.alloc(0))).messages).toBe(1)
  })

  test('a sender is never answered, and its bytes are kept only where asked', async () => {
    const save = join(dir, 'line.hl7')
    const frame = Buffer.concat([Buffer.from([0x0b]), gbk(message({})), Buffer.from([0x1c, 0x0d])])
    const stop = new AbortController()
    let answered = 0
    const heard = await hearSenders({
      host: '127.0.0.1',
      port: 0,
      waitMs: 30_000,
      saveTo: save,
      signal: stop.signal,
      progress: (bytes) => {
        if (bytes === frame.length) stop.abort()
      },
      listening: (port) => {
        const socket = connect(port, '127.0.0.1', () => socket.write(frame))
        socket.on('data', (chunk: Buffer) => (answered += chunk.length))
        socket.on('error', () => undefined)
      },
    })
    expect(answered).toBe(0)
    expect(heard.report).toMatchObject({ connections: 1, bytes: frame.length, spokeFirst: 'peer' })
    expect(await readFile(save)).toEqual(frame)
  })
})

describe.runIf(existsSync(corpus) || process.env.CI === 'true')('the corpus', () => {
  const expected: Readonly<Record<string, readonly string[]>> = {
    hl7v2: ['hl7v2', 'hl7v2-batch', 'hl7v2-mllp'],
    'hl7v2-extracted': ['hl7v2', 'hl7v2-batch', 'hl7v2-mllp'],
    cda: ['hl7-xml'],
    dicom: ['dicom'],
    analyser: ['astm', 'hl7v2', 'hl7v2-mllp', 'text', 'unknown'],
  }

  test.each(Object.keys(expected))('every file of %s is recognised as what it is', async (folder) => {
    const odd: string[] = []
    let files = 0
    for await (const file of filesOf([join(corpus, folder)])) {
      const sample = new Sample({ messagesMax: 100_000 }, now)
      await sample.addFile(file, () => undefined)
      const report = reportOf(sample, catalogue, 'H900')
      files++
      const family = report.families[0]?.family ?? 'unreadable'
      if (!(expected[folder] ?? []).includes(family)) odd.push(`${file.slice(corpus.length)}: ${family}`)
      reportText(report, sniffTexts('zh'))
      expect(lintMappings([{ name: file, text: mappingText(report) }]), file).toEqual([])
    }
    expect(files).toBeGreaterThan(0)
    expect(odd).toEqual([])
  })
})
