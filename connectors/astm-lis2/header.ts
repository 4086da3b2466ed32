const headBytes = 512

/** H-3, the message control ID, where the message begins with an H record that states one of printable ASCII. */
export function controlIdOf(content: Buffer): string | undefined {
  const line = /^\s*[Hh]([^\w\s])([^\r\n]*)/.exec(content.toString('latin1', 0, headBytes))
  const controlId = line?.[2]!.split(line[1]!)[1]?.trim() ?? ''
  return /^[\x21-\x7e][\x20-\x7e]{0,198}$/.test(controlId) ? controlId : undefined
}
