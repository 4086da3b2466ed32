import type { HospitalCode } from './hospitals.js'
import { contentOf, type SimulatedMessage } from './journal.js'
import { hospitalMessages, runTag } from './messages.js'
import { Random } from './random.js'

export interface BloodCountsOptions {
  readonly hospital: HospitalCode
  readonly seed: number
  /** Messages made in full and then varied (default 64: as many persons and names). */
  readonly templates?: number
}

interface Template {
  readonly frame: Buffer
  readonly controlIdAt: readonly number[]
  readonly reportNumberAt: readonly number[]
  readonly placerNumberAt: readonly number[]
  /** Last digit of each OBX-5. */
  readonly digitsAt: readonly number[]
}

const serialDigits = 8
const zero = 0x30

/**
 * Blood counts without end, each a patched copy of a message made beforehand: other control id, report number, order
 * number and last digits of its values. Costs some microseconds each, so that one process can offer a load. Numbers are as
 * long as those of `hospitalMessages` and begin otherwise, so that the two never meet.
 */
export function* bloodCounts(options: BloodCountsOptions): Generator<SimulatedMessage, never> {
  const { hospital, seed } = options
  const random = new Random(seed, `templates/${hospital}`)
  const templates = makeTemplates(options)
  const tag = runTag(seed)
  for (let serial = 1; ; serial++) {
    const template = templates[serial % templates.length]
    if (template === undefined) throw new RangeError('no templates')
    const frame = Buffer.allocUnsafe(template.frame.length)
    template.frame.copy(frame)
    const digits = String(serial).padStart(serialDigits, '0')
    for (const at of template.controlIdAt) frame.write(digits, at, 'latin1')
    for (const at of template.reportNumberAt) frame.write(digits, at, 'latin1')
    for (const at of template.placerNumberAt) frame.write(digits, at, 'latin1')
    let bits = random.integer(0, 0x3fff_ffff)
    for (const at of template.digitsAt) {
      frame[at] = zero + (bits % 10)
      bits = bits > 9 ? Math.floor(bits / 10) : serial
    }
    yield { controlId: `L${tag}${digits}`, kind: 'original', frame, reportNumber: `N${tag}${digits}` }
  }
}

function makeTemplates({ hospital, seed, templates: count = 64 }: BloodCountsOptions): Template[] {
  const templates: Template[] = []
  const tag = runTag(seed)
  for (const message of hospitalMessages({ hospital, seed })) {
    if (message.kind !== 'original' || message.reportNumber === undefined) continue
    const text = contentOf(message).toString('latin1')
    const placerNumber = /\rORC\|RE\|([^|\r]*)/.exec(text)?.[1] ?? ''
    const results = text.match(/\rOBX\|/g)?.length ?? 0
    if (results !== 24 || placerNumber === '') continue
    const serial = '0'.repeat(serialDigits)
    const patched = text
      .replaceAll(message.controlId, `L${tag}${serial}`)
      .replaceAll(message.reportNumber, `N${tag}${serial}`)
      .replaceAll(placerNumber, `Q${tag}${serial}`)
    const after = (letter: string): number[] =>
      placesOf(patched, `${letter}${tag}${serial}`).map((at) => at + 2 + tag.length)
    templates.push({
      frame: Buffer.from(`\x0b${patched}\x1c\r`, 'latin1'),
      controlIdAt: after('L'),
      reportNumberAt: after('N'),
      placerNumberAt: after('Q'),
      // One byte further than in the text: the frame begins with 0x0B.
      digitsAt: [...patched.matchAll(/\rOBX\|\d+\|NM\|[^|]*\|\|[\d.]*\d/g)].map(
        ({ index, 0: found }) => index + found.length,
      ),
    })
    if (templates.length === count) return templates
  }
  return templates
}

function placesOf(text: string, part: string): number[] {
  const places: number[] = []
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) places.push(at)
  return places
}
