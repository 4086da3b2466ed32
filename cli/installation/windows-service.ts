import { win32 } from 'node:path'

/** Configuration of WinSW 1.17 (hutong-edge.xml beside hutong-edge.exe). Pure. */
export function windowsService({
  name,
  folder,
  node,
  args,
}: {
  readonly name: string
  readonly folder: string
  readonly node: string
  readonly args: readonly string[]
}): string {
  const lines = [
    element('id', name),
    element('name', 'Hutong edge 互通前置机'),
    element('description', '接收院内系统消息并转发到省平台。Receives messages of the hospital and forwards them.'),
    element('executable', node),
    element('arguments', args.map(commandLineWord).join(' ')),
    element('workingdirectory', folder),
    element('startmode', 'Automatic'),
    element('depend', 'Tcpip'),
    element('stoptimeout', '60 sec'),
    '<onfailure action="restart" delay="5 sec"/>',
    '<onfailure action="restart" delay="30 sec"/>',
    element('resetfailure', '1 hour'),
    element('logpath', win32.join(folder, 'data', 'logs')),
    '<log mode="roll-by-size"><sizeThreshold>10240</sizeThreshold><keepFiles>8</keepFiles></log>',
  ]
  return `<?xml version="1.0" encoding="utf-8"?>\r\n<service>\r\n${lines.map((line) => `  ${line}\r\n`).join('')}</service>\r\n`
}

const element = (name: string, text: string): string => `<${name}>${escapeXml(text)}</${name}>`

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** A word as CommandLineToArgvW reads it back. */
export function commandLineWord(word: string): string {
  if (/^[^\s"]+$/.test(word)) return word
  return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, '$1$1')}"`
}
