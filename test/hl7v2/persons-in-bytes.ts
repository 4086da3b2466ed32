// What a message says of persons, read from its bytes by position alone: shares no code with the product.

/** `word` a Latin name, `han` a name in hanzi, `number` an identifier or telephone, `street`, `birth` as yyyymmdd. */
export interface Stated {
  readonly kind: 'word' | 'han' | 'number' | 'street' | 'birth'
  readonly value: string
  readonly at: string
}

type Form = 'xpn' | 'xcn' | 'cx' | 'ei' | 'xad' | 'xtn' | 'birth'

const places: Readonly<Record<string, Partial<Record<Form, readonly number[]>>>> = {
  MSH: { ei: [10] },
  EVN: { xcn: [5] },
  PID: { cx: [2, 3, 4, 18, 19, 20, 21], xpn: [5, 6, 9], xad: [11], xtn: [13, 14], birth: [7] },
  PD1: { xcn: [4] },
  NK1: { xpn: [2, 30], xad: [4, 32], xtn: [5, 6, 31], cx: [33] },
  PV1: { cx: [5, 19, 50], xcn: [7, 8, 9, 17, 52] },
  PV2: { xcn: [13] },
  GT1: { cx: [2, 19], xpn: [3, 4], xad: [5], xtn: [6, 7] },
  IN1: { xpn: [16], xad: [19], ei: [36], cx: [49] },
  MRG: { cx: [1, 2, 3, 4, 5, 6], xpn: [7] },
  ROL: { xcn: [4] },
  ORC: { ei: [2, 3, 4], xcn: [10, 11, 12], xtn: [14] },
  OBR: { ei: [2, 3], xcn: [10, 16, 28], xtn: [17] },
  OBX: { xcn: [16] },
  NTE: { xcn: [5] },
  TXA: { xcn: [5, 9, 10, 11], ei: [12, 13] },
}

/** The text of bytes as their charset reads them, else byte for byte. */
export function textIn(bytes: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset === 'us-ascii' ? 'utf-8' : charset, { fatal: true }).decode(bytes)
  } catch {
    return Buffer.from(bytes).toString('latin1')
  }
}

/** One field with `\X..\` of ASCII and the delimiters' sequences resolved and every delimiter a blank, in capitals. */
export function flat(raw: string, msh: string): string {
  const [component, repetition, escape, subcomponent] = [msh[4]!, msh[5]!, msh[6]!, msh[7]!]
  let text = raw
  for (const one of [component, repetition, subcomponent])
    if (one !== undefined && /[^\w\s]/.test(one)) text = text.split(one).join(' ')
  if (escape === '\\') {
    text = text
      .replace(/\\X((?:[2-7][0-9A-F])+)\\/gi, (_, hex: string) => Buffer.from(hex, 'hex').toString('latin1'))
      .replace(/\\(?:[HN]|\.\w+ ?[+-]?\d*)\\/g, ' ')
      .replace(/\\T\\/g, '&')
  }
  return text.toUpperCase()
}

export interface Line {
  readonly name: string
  /** From 1; MSH-1 is the separator. */
  readonly fields: readonly string[]
}

export function linesIn(text: string): { readonly msh: string; readonly lines: readonly Line[] } {
  const start = text.search(/MSH[^A-Za-z0-9]/)
  const msh = text.slice(start, start + 8)
  const lines = text.slice(start).split(/[\r\n]+/)
  return {
    msh,
    lines: lines.map((line) => {
      const fields = line.split(msh[3]!)
      return fields[0] === 'MSH' ? { name: 'MSH', fields } : { name: fields[0]!, fields: fields.slice(1) }
    }),
  }
}

/** Everything the message states of anybody, as it would have to be looked for elsewhere. */
export function statedIn(bytes: Uint8Array, charset: string): Stated[] {
  const { msh, lines } = linesIn(textIn(bytes, charset))
  const [component, repetition, subcomponent] = [msh[4]!, msh[5]!, msh[7] ?? '&']
  const found: Stated[] = []
  for (const { name, fields } of lines) {
    for (const [form, numbers] of Object.entries(places[name] ?? {}) as [Form, number[]][]) {
      for (const number of numbers) {
        const raw = fields[number - 1] ?? ''
        if (raw === '' || raw === '""') continue
        for (const one of raw.split(repetition)) {
          const parts = one.split(component)
          const text = (at: number) => flat((parts[at - 1] ?? '').split(subcomponent)[0]!, msh).trim()
          found.push(...stated(form, text).map((each) => ({ ...each, at: `${name}-${number}` })))
        }
      }
    }
  }
  return found
}

const namesOf = (parts: readonly string[]): Omit<Stated, 'at'>[] => {
  const whole = parts.join('')
  if (/^[\p{Script=Han}·]{2,}$/u.test(whole)) return [{ kind: 'han', value: whole }]
  return parts.flatMap((part) =>
    (part.match(/[\p{Script=Latin}]{4,}/gu) ?? []).map((value) => ({ kind: 'word', value })),
  )
}

function stated(form: Form, text: (at: number) => string): Omit<Stated, 'at'>[] {
  const number = (value: string): Omit<Stated, 'at'>[] => {
    const enough = /^\d+$/.test(value) ? value.length >= 6 : /\d{3}/.test(value) && value.length >= 6
    return enough && !/^(.)\1*$/.test(value.replace(/\W/g, '')) && /^\S+$/.test(value)
      ? [{ kind: 'number', value }]
      : []
  }
  switch (form) {
    case 'xpn':
      return namesOf([text(1), text(2), text(3)])
    case 'xcn':
      return [...number(text(1)), ...namesOf([text(2), text(3)])]
    case 'cx':
    case 'ei':
      return number(text(1))
    case 'xtn':
      return [...number(text(1)), ...number(text(12)), ...number(text(7))]
    case 'xad': {
      const street = text(1)
      const tail = /^(?:\p{Script=Han}{2,3}省)?(?:\p{Script=Han}{2,4}市)?(\p{Script=Han}.{4,})$/u.exec(street)?.[1]
      if (tail !== undefined) return [{ kind: 'street', value: tail }]
      return /\d.*[A-Z]{3}/.test(street) && street.length >= 8 ? [{ kind: 'street', value: street }] : []
    }
    case 'birth': {
      const day = /^(?:18|19|20)\d{6}/.exec(text(1))?.[0]
      return day === undefined ? [] : [{ kind: 'birth', value: day }]
    }
  }
}
