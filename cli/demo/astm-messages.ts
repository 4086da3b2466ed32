import { encode } from '../../connectors/hl7v2/encode.js'
import { localTime } from './dialect.js'
import type { HospitalCode } from './hospitals.js'
import { framed, type MessageKind, type SimulatedMessage } from './journal.js'
import { runTag, simulatedMorning, type MessagesOptions } from './messages.js'
import { abnormality, drawValue, panelsOf, type Panel } from './panels.js'
import { person } from './persons.js'
import { Random } from './random.js'

/** What an analyser of a demonstration hospital sends without end: LIS2-A2, one panel a message; some run twice, some controls. */
export function* analyserMessages(options: MessagesOptions): Generator<SimulatedMessage, never> {
  const { hospital, seed } = options
  const random = new Random(seed, `analyser/${hospital}`)
  const panels = panelsOf(hospital)
  const tag = runTag(seed)
  let now = options.startAt ?? simulatedMorning
  for (let serial = 1; ; serial++) {
    now += random.integer(200, 1500)
    const panel = random.chance(0.6) ? panels[0] : random.pick(panels)
    if (panel === undefined) throw new RangeError(`no panels for ${hospital}`)
    const controlId = `A${tag}${String(serial).padStart(8, '0')}`
    const kind: MessageKind = random.chance(0.05) ? 'unused' : 'original'
    const text = messageText({ controlId, kind, panel, random, hospital, tag, serial, now }, options.persons ?? 400)
    yield { controlId, kind, frame: framed(encode(text, hospital === 'H002' ? 'gb18030' : 'utf-8')) }
  }
}

interface Run {
  readonly controlId: string
  readonly kind: MessageKind
  readonly panel: Panel
  readonly random: Random
  readonly hospital: HospitalCode
  readonly tag: string
  readonly serial: number
  readonly now: number
}

function messageText({ controlId, kind, panel, random, tag, serial, now }: Run, persons: number): string {
  const control = kind === 'unused'
  const patient = person(random, random.integer(1, persons), { numberPrefix: `P${tag}` })
  const specimen = control ? `QC-${random.integer(1, 3)}` : `${tag}${String(serial).padStart(8, '0')}`
  const at = (minutesAgo: number): string => localTime(now - minutesAgo * 60_000)
  const test = (code: string, text: string): string => `^^^${escaped(code)}^${escaped(text)}`
  const records = [
    record('H', { 2: '\\^&', 3: controlId, 5: 'HT500^3.2', 12: 'P', 13: 'LIS2-A2', 14: at(0) }),
    control
      ? record('P', { 2: '1' })
      : record('P', { 2: '1', 3: patient.patientNumber, 6: patient.name, 8: patient.birthDate, 9: patient.sex }),
    record('O', {
      ...{ 2: '1', 3: specimen, 5: test(panel.code, panel.text), 6: 'R', 8: at(70), 12: control ? 'Q' : '' },
      ...{ 16: 'BLD', 23: at(1), 26: 'F' },
    }),
    ...panel.items.map((item, index) => {
      const value = drawValue(random, item)
      const flag = ['L', 'N', 'H'][abnormality(item, value, patient.sex) + 1] ?? ''
      return record('R', {
        ...{ 2: String(index + 1), 3: test(item.code, item.text), 4: escaped(value), 5: escaped(item.unit) },
        ...{ 6: escaped(item.range), 7: flag, 9: 'F', 13: at(2), 14: 'HT500' },
      })
    }),
    record('L', { 2: '1', 3: 'N' }),
  ]
  return records.map((line) => `${line}\r`).join('')
}

/** A record from its fields by number (1 is its letter); trailing empty ones are left out. */
function record(letter: string, fields: Readonly<Record<number, string>>): string {
  const cells = [letter]
  for (const [number, text] of Object.entries(fields)) {
    if (text === '') continue
    while (cells.length < Number(number) - 1) cells.push('')
    cells[Number(number) - 1] = text
  }
  return cells.join('|')
}

/** Escapes the delimiters of LIS2-A2 (section 5.4.7). */
const escaped = (text: string): string =>
  text.replace(/[\\|^&]/g, (delimiter) => `&${'RFSE'.charAt('\\|^&'.indexOf(delimiter))}&`)
