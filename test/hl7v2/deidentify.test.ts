import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hospitalMessages, take } from '../../cli/demo/messages.js'
import { inputsOf } from '../../cli/record/sources.js'
import { readIdNumber } from '../../catalogue/id-number.js'
import { Deidentifier } from '../../connectors/hl7v2/deidentify/deidentify.js'
import { LeakCheck } from '../../connectors/hl7v2/deidentify/leak-check.js'
import { Vocabulary } from '../../connectors/hl7v2/deidentify/vocabulary.js'
import { encode } from '../../connectors/hl7v2/encode.js'
import { readMessageBytes, type Hl7Message } from '../../connectors/hl7v2/message.js'

const key = Buffer.from('a key for tests, of no other use')

interface Replaced {
  readonly before: Hl7Message
  readonly after: Hl7Message
  readonly bytes: Buffer
}

function replaced(sources: readonly Buffer[], charset?: string, keep: readonly string[] = []): Replaced[] {
  const deidentifier = new Deidentifier({ key, keep })
  const read = sources.map((source) => ({ source, before: readMessageBytes(source, charset) }))
  const check = new LeakCheck(deidentifier.vocabulary)
  for (const { before } of read) {
    deidentifier.learn(before)
    check.learn(before)
  }
  return read.map(({ source, before }) => {
    const bytes = deidentifier.replace(before, source)
    const after = readMessageBytes(bytes, charset)
    expect(check.message(after, bytes, before)).toEqual([])
    return { before, after, bytes }
  })
}

/** Computed from the fields alone, by another reading than the de-identifier's: plain splitting of standard messages. */
function identifyingValues(text: string): string[] {
  const found: string[] = []
  for (const line of text.split(/[\r\n]+/)) {
    const fields = line.split('|')
    const at = (field: number) => (fields[field] ?? '').split('~').map((one) => one.split('^'))
    if (fields[0] === 'PID') {
      for (const field of [2, 3, 4, 18, 19, 21]) for (const cx of at(field)) found.push(cx[0] ?? '')
      for (const [family = '', given = ''] of at(5)) found.push(/^[A-Za-z]/.test(family) ? family : family + given)
      for (const xad of at(11)) found.push(...xad.slice(0, 3))
      for (const field of [13, 14]) for (const xtn of at(field)) found.push(xtn[0] ?? '', xtn[6] ?? '')
    }
    if (fields[0] === 'PV1') found.push(at(19)[0]?.[0] ?? '')
    if (fields[0] === 'MRG') found.push(at(1)[0]?.[0] ?? '')
    if (fields[0] === 'OBR' || fields[0] === 'ORC') for (const field of [2, 3]) found.push(at(field)[0]?.[0] ?? '')
  }
  return found.filter((value) =>
    /^\d+$/.test(value) ? value.length >= 6 : value.length >= (/[A-Za-z]/.test(value) ? 6 : 2),
  )
}

const shape = (message: Hl7Message): unknown => [
  message.charset,
  [...message.flags].sort(),
  Array.from(message.lines(), (line) => [
    line.isSegment ? line.name : '',
    line.fields().map((field) => field.replace(/[^|^~&]/g, '').length),
    ...(line.name === 'OBX' ? [2, 3, 6, 8, 11].map((field) => line.field(field)) : []),
    ...(line.name === 'OBX' && line.field(2) === 'NM' ? [line.field(5)] : []),
  ]),
]

describe('de-identification', () => {
  test('a message keeps its results, escapes and oddities, and nobody', () => {
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|HUTONG||20240506093015||ORU^R01|C20240506001|P|2.4||||||UNICODE UTF-8\r\n' +
        'PID|1||0001234567^^^HIS^MR||欧阳^明珠||19850307|F|||浙江省杭州市文一西路1218号3幢||13812345678||||||330106198503071246\r\n' +
        'PV1|1|I|0301^12^5|||||1001^张大力||||||||||||V2024050600017\r\n' +
        'OBR|1|P20240506001|L20240506001|XCG^血常规^LIS|||20240506083000|||||||||1001^张大力|||||||||F\r\n' +
        'OBX|1|NM|WBC^白细胞计数^LIS||6.20|10\\S\\9/L|3.5-9.5|N|||F\r\n' +
        'OBX|2|ST|HBSAG^乙肝表面抗原^LIS||阴性||阴性||||F\r\n' +
        'OBX|3|TX|NOTE^备注||欧阳明珠\\.br\\电话138\\X31\\2345678,病历号0001234567,2024年05月06日 复查 白细胞||||||F\r\n' +
        'ZPI|1|家属欧阳小红|联系人 王某 13987654321|""||\r\n',
    )
    const [{ before, after, bytes }] = replaced([source]) as [Replaced]
    expect(shape(after)).toEqual(shape(before))
    const text = bytes.toString('utf8')
    for (const value of [
      '欧阳',
      '明珠',
      '小红',
      '张大力',
      '0001234567',
      '12345678',
      '13987654321',
      '330106',
      '1218',
      '文一西路',
      'V20240506',
    ]) {
      expect(text, value).not.toContain(value)
    }
    const pid = after.first('PID')!
    expect(pid.field(11)).toMatch(/^浙江省杭州市.{9,}/)
    expect(pid.text(3)).toMatch(/^000[1-9]\d{6}$/)
    const id = readIdNumber(pid.text(19) ?? '')
    expect(id).toMatchObject({ kind: 'citizen', sexCode: '2' })
    expect(id.birthDate?.replaceAll('-', '')).toBe(pid.field(7))
    const note = after.segments('OBX')[2]!.field(5)
    expect(note).toContain(`${pid.text(5, 1, 1)}${pid.text(5, 1, 2)}\\.br\\电话`)
    expect(note).toContain('\\X')
    expect(note).toContain(pid.text(3))
    expect(note).toMatch(/复查 白细胞$/)
    expect(after.first('ZPI')!.field(4)).toBe('""')
  })

  test('intervals, weekdays and links between messages stay', () => {
    const message = (control: string, day: string, status: string) =>
      Buffer.from(
        `MSH|^~\\&|LIS|H1|||${day}093015||ORU^R01|${control}|P|2.4\rPID|1||0001234567||LI^XIAOMING||1985\r` +
          `OBR|1||L20240506001|XCG|||20240506083000|||||||||||||||||||${status}\r` +
          `OBX|1|NM|WBC||6.2||||||${status}\r`,
      )
    const [first, second] = replaced([message('M1', '20240506', 'F'), message('M2', '20240513', 'C')]) as [
      Replaced,
      Replaced,
    ]
    const day = (one: Replaced) =>
      Date.parse(
        one.after
          .segment(0)
          .field(7)
          .replace(/^(....)(..)(..).*/, '$1-$2-$3'),
      )
    expect(day(second) - day(first)).toBe(7 * 86_400_000)
    expect(new Date(day(first)).getUTCDay()).toBe(new Date('2024-05-06').getUTCDay())
    for (const field of [3]) {
      expect(first.after.first('OBR')!.field(field)).toBe(second.after.first('OBR')!.field(field))
      expect(first.after.first('OBR')!.field(field)).not.toBe('L20240506001')
    }
    expect(first.after.first('PID')!.field(5)).toBe(second.after.first('PID')!.field(5))
  })

  test.each(['珅', '玘', '玕', '珇'])('GBK names whose second byte is a separator (%s) stay such names', (rare) => {
    const text = `MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4\rPID|1||0001234567||王${rare}||19850307|M\r`
    const source = encode(text, 'gb18030')
    const [{ after, bytes, before }] = replaced([source], 'GBK') as [Replaced]
    expect(shape(after)).toEqual(shape(before))
    const name = encode(after.first('PID')!.text(5) ?? '', 'gb18030')
    expect(name[3]).toBe(encode(rare, 'gb18030')[1])
    expect(bytes.includes(encode(`王${rare}`, 'gb18030'))).toBe(false)
    expect(after.first('PID')!.text(5)).not.toContain(rare)
  })

  test('characters of four GB 18030 bytes are replaced by such', () => {
    const text = 'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4\rPID|1||0001234567||李𠮷㛃||19850307|M\r'
    const [{ after }] = replaced([encode(text, 'gb18030')], 'GB18030') as [Replaced]
    const name = after.first('PID')!.text(5) ?? ''
    expect(name).not.toMatch(/[李𠮷㛃]/u)
    expect([...name].map((character) => encode(character, 'gb18030').length)).toEqual([2, 4, 4])
  })

  test('a document becomes one of its type and size; a name in its bytes is gone', () => {
    const pdf = Buffer.from('%PDF-1.4 患者 欧阳明珠 0001234567 '.repeat(20))
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4||||||UNICODE UTF-8\rPID|1||0001234567||欧阳明珠||19850307|M\r' +
        `OBX|1|ED|PDF^报告||^application^pdf^Base64^${pdf.toString('base64')}||||||F\r`,
    )
    const [{ after }] = replaced([source]) as [Replaced]
    const data = Buffer.from(after.first('OBX')!.text(5, 1, 5) ?? '', 'base64')
    expect(data.length).toBe(pdf.length)
    expect(data.toString('utf8')).toMatch(/^%PDF-/)
    expect(data.toString('utf8')).not.toContain('欧阳明珠')
  })

  test('the check finds what a faulty replacement would leave, and where', () => {
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4||||||UNICODE UTF-8\rPID|1||0001234567||欧阳明珠||19850307|M\r' +
        `NTE|1||欧阳明珠\rZZZ|${Buffer.from('xx 欧阳明珠 yy').toString('base64')}|${encode('欧阳明珠', 'gb18030').toString('hex')}\r`,
    )
    const message = readMessageBytes(source)
    const check = new LeakCheck(new Vocabulary())
    check.learn(message)
    const leaks = check.message(message, source, message)
    const places = leaks.map(({ segment, field }) => `${segment} ${field}`)
    expect(places).toEqual(
      expect.arrayContaining([
        'PID[1] PID-3',
        'PID[1] PID-5',
        'PID[1] PID-7',
        'NTE[1] NTE-3',
        'bytes utf-8',
        'bytes gb18030',
      ]),
    )
    expect(JSON.stringify(leaks)).not.toMatch(/欧阳|1234567/)
  })

  test('a date that changes its length keeps its escapes, and lines keep theirs', () => {
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4||||||UNICODE UTF-8\rPID|1||0001234567||欧阳明珠||19850307|M\r' +
        ['\\X32303234\\年5月\\X36\\日', '2024年5月6日', '2024/5/\\X36\\ 复查\\.br\\2024/05/06']
          .map((text, at) => `OBX|${at + 1}|TX|N^备注||${text}||||||F\r`)
          .join(''),
    )
    // Every key moves the dates by another number of weeks; some of them into a month of two digits.
    const written = Array.from({ length: 24 }, (_, at) => {
      const deidentifier = new Deidentifier({ key: Buffer.alloc(32, at) })
      const before = readMessageBytes(source)
      deidentifier.learn(before)
      const after = readMessageBytes(deidentifier.replace(before, source))
      expect(shape(after)).toEqual(shape(before))
      const day = after.segment(0).field(7)
      const [year, month, dayOfMonth] = [day.slice(0, 4), Number(day.slice(4, 6)), Number(day.slice(6, 8))]
      const hex = (digits: number | string): string => Buffer.from(String(digits)).toString('hex')
      expect(after.segments('OBX').map((obx) => obx.field(5))).toEqual([
        `\\X${hex(year)}\\年${month}月\\X${hex(dayOfMonth)}\\日`,
        `${year}年${month}月${dayOfMonth}日`,
        `${year}/${month}/\\X${hex(dayOfMonth)}\\ 复查\\.br\\${year}/${day.slice(4, 6)}/${day.slice(6, 8)}`,
      ])
      return month
    })
    expect(written.some((month) => month > 9)).toBe(true)
  })

  test('codes and results stay where somebody is named or numbered as they are', () => {
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4\rPID|1||250000||LEE^AMY||19850307|F\r' +
        'OBX|1|NM|AMY^Amylase||87|U/L|||||F\rOBX|2|NM|PLT^Platelets||250000|/uL|||||F\rNTE|1||AMY LEE 250000\r',
    )
    const [{ after }] = replaced([source]) as [Replaced]
    expect(after.segments('OBX').map((obx) => [obx.text(3), obx.field(5)])).toEqual([
      ['AMY', '87'],
      ['PLT', '250000'],
    ])
    expect(after.first('NTE')!.field(3)).not.toMatch(/AMY|LEE|250000/)
  })

  test('numbers of which every one of the shape is taken become others, all different', () => {
    const sources = Array.from({ length: 9 }, (_, at) =>
      Buffer.from(`MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|MSG0000${at + 1}|P|2.4\rPID|1||PAT00${at + 1}||A^B\r`),
    )
    const controls = replaced(sources).map(({ after }) => after.segment(0).field(10))
    expect(new Set(controls).size).toBe(9)
    for (const control of controls) expect(control).not.toMatch(/^MSG0000\d$/)
  })

  test('kept fields stay, all other Z fields are scrubbed', () => {
    const source = Buffer.from(
      'MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M1|P|2.4||||||UNICODE UTF-8\rZXX|甲方资料|乙方资料|abcdefgh\r',
    )
    const [{ after }] = replaced([source], undefined, ['ZXX-2']) as [Replaced]
    expect(after.first('ZXX')!.fields()).toEqual(['某某某某', '乙方资料', 'xxxxxxxx'])
  })

  test.each(['H001', 'H002', 'H003'] as const)('demonstration hospital %s: same shape, nobody left', (hospital) => {
    const messages = [...take(hospitalMessages({ hospital, seed: 11 }), 120)]
    const sources = messages.flatMap(({ frame }) => inputsOf(frame)).map((input) => input.bytes)
    const charset = hospital === 'H002' ? 'GB18030' : undefined
    const readable = sources.filter((source) => {
      try {
        return readMessageBytes(source, charset).length > 0
      } catch {
        return false
      }
    })
    expect(readable.length).toBeGreaterThan(80)
    for (const { before, after } of replaced(readable, charset)) {
      expect(shape(after)).toEqual(shape(before))
      for (const value of identifyingValues(before.text))
        expect(after.text.includes(value), 'an identifying value').toBe(false)
    }
  })

  test('generated patients: nobody left, ID numbers as valid as before', () => {
    const han = fc.stringMatching(/^[王李张刘陈杨赵黄周吴欧珅玘珇]{1}[伟芳娜敏静丽强磊军洋珅玕]{1,3}$/)
    const patient = fc.record({
      name: han,
      number: fc.stringMatching(/^[1-9][0-9]{7,9}$/),
      phone: fc.stringMatching(/^1[3-9][0-9]{9}$/),
      body: fc.stringMatching(/^(110101|330106|440305)(19[3-9]\d)(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])\d{3}$/),
      note: fc.stringMatching(/^[患者于门诊复查姓名张王,。 a-z]{0,12}$/),
      gbk: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(patient, { minLength: 1, maxLength: 4 }), (patients) => {
        const sources = patients.map(({ name, number, phone, body, note, gbk }, at) => {
          const id =
            body +
            '10X98765432'.charAt(
              [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2].reduce(
                (sum, weight, i) => sum + weight * Number(body[i]),
                0,
              ) % 11,
            )
          const text =
            `MSH|^~\\&|LIS|H1|||20240506093015||ORU^R01|M${at}|P|2.4\rPID|1||${number}||${name}||${body.slice(6, 14)}|M|||||${phone}||||||${id}\r` +
            `OBR|1||R${number}|XCG\rNTE|1||${note}${name}${phone}\\.br\\${id} ${number}${note}\r`
          return { text, id, name, bytes: encode(text, gbk ? 'gb18030' : 'utf-8'), charset: gbk ? 'gb18030' : 'utf-8' }
        })
        for (const { bytes, charset, text, id } of sources) {
          const [{ before, after }] = replaced([bytes], charset) as [Replaced]
          expect(shape(after)).toEqual(shape(before))
          for (const value of identifyingValues(text)) expect(after.text).not.toContain(value)
          const number = readIdNumber(after.first('PID')!.text(19) ?? '')
          expect(number.kind).toBe(readIdNumber(id).kind)
          expect(number.birthDate?.replaceAll('-', '')).toBe(after.first('PID')!.field(7))
        }
      }),
      { numRuns: 60 },
    )
  })
})
