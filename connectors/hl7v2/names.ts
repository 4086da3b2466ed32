import type { FieldText } from './field-text.js'

/**
 * A person's name for reading, from one XPN: the whole name in component 1 as many Chinese systems send it, or family
 * and given name put together, without a space where both are Chinese. Null where nothing is stated.
 */
export function personName(text: FieldText, xpn: string): string | null {
  if (text.isNull(xpn)) return ''
  const family = text.read(text.subcomponent(text.component(xpn, 1), 1))
  return joinName([family, text.read(text.component(xpn, 2)), text.read(text.component(xpn, 3))])
}

/** The repetition of PID-5 to show: the ideographic form (XPN.8 = I), else the legal name (XPN.7 = L), else the first. */
export function preferredName(text: FieldText, field: string): string {
  if (!text.repeats(field)) return field
  const names = text.repetitions(field)
  return (
    names.find((name) => text.component(name, 8) === 'I') ??
    names.find((name) => text.component(name, 7) === 'L' && text.component(name, 8) !== 'A') ??
    names[0] ??
    ''
  )
}

/** Name of staff from one XCN (`id^family^given`) or a bare name; the number alone where no name is stated. */
export function staffName(text: FieldText, xcn: string): string | null {
  if (xcn === '') return null
  const family = text.read(text.subcomponent(text.component(xcn, 2), 1))
  const name = joinName([family, text.read(text.component(xcn, 3)), text.read(text.component(xcn, 4))])
  return name ?? text.read(text.component(xcn, 1))
}

/** Name of staff from one NDL (OBR-32 to 35): a CNN in component 1, or what senders write instead, an XCN. */
export function interpreterName(text: FieldText, ndl: string): string | null {
  if (ndl === '') return null
  const person = text.component(ndl, 1)
  const family = text.read(text.subcomponent(person, 2))
  const name = joinName([family, text.read(text.subcomponent(person, 3)), text.read(text.subcomponent(person, 4))])
  if (name !== null) return name
  const second = text.component(ndl, 2)
  // NDL.2 is a time; anything else there is an XCN put where an NDL belongs.
  return second !== '' && !startsWithDigit(second) ? staffName(text, ndl) : text.read(text.subcomponent(person, 1))
}

function joinName(parts: readonly (string | null)[]): string | null {
  const stated = parts.filter((part): part is string => part !== null && part !== '')
  if (stated.length === 0) return null
  if (stated.length === 1) return stated[0] ?? null
  return stated.join(stated.every(isChinese) ? '' : ' ')
}

/** Every character is an ideograph (basic and extension blocks) or a middle dot. */
export function isChinese(text: string): boolean {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    const ideograph = (code >= 0x3400 && code <= 0x9fff) || (code >= 0x20000 && code <= 0x3ffff) || code === 0xb7
    if (!ideograph) return false
  }
  return text !== ''
}

function startsWithDigit(text: string): boolean {
  const code = text.charCodeAt(0)
  return code >= 48 && code <= 57
}
