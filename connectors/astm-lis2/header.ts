const headBytes = 512

/** H-3, the message control ID, where the message begins with an H record that states one of printable ASCII. */
export function controlIdOf(content: Buffer): string | undefined {
  const controlId = fieldOf(content, 3)
  return /^[\x21-\x7e][\x20-\x7e]{0,198}$/.test(controlId) ? controlId : undefined
}

/** The first component of H-5, the sender's name, which is the maker or the instrument; no version, no serial number. */
export function senderOf(content: Buffer): readonly string[] {
  const component = fieldOf(content, 2)[1] ?? ''
  const sender = fieldOf(content, 5)
  return [(component === '' ? sender : sender.split(component)[0]) ?? '']
}

/** A field of the H record that begins the message, '' where there is none. */
function fieldOf(content: Buffer, field: number): string {
  const line = /^\s*[Hh]([^\w\s])([^\r\n]*)/.exec(content.toString('latin1', 0, headBytes))
  return line?.[2]!.split(line[1]!)[field - 2]?.trim() ?? ''
}
