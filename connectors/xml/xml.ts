import { SaxesParser, type SaxesTagNS } from 'saxes'
import { RecordError } from '../../core/errors.js'

/** An element with its namespace resolved. Text and children keep their order in `content`. */
export interface XmlElement {
  /** Without prefix. */
  readonly name: string
  /** '' where it has none. */
  readonly namespace: string
  /** By local name; attributes of a namespace by `{namespace}name`. Namespace declarations are left out. */
  readonly attributes: ReadonlyMap<string, string>
  readonly content: readonly (XmlElement | string)[]
  /** Of its start tag, from 1. */
  readonly line: number
}

/** Bounds that no document of a hospital comes near, so that a hostile one costs no more than its bytes. */
const depthMax = 200
const elementsMax = 2_000_000

type Open = Omit<XmlElement, 'content'> & { readonly content: (XmlElement | string)[] }

/**
 * Reads a well-formed XML 1.0 document with namespaces; comments and processing instructions are left out, CDATA is text.
 * A document type may be named, but entities beyond the five of XML are not known and nothing outside is read.
 * @throws RecordError xml-malformed with the line
 */
export function parseXml(text: string): XmlElement {
  const parser = new SaxesParser({ xmlns: true, position: true })
  const open: Open[] = []
  let root: XmlElement | undefined
  let elements = 0
  let line = 1
  parser.on('error', (error) => {
    throw malformed(error.message.replace(/^[^:]*:?\d+:\d+: /, ''), parser.line)
  })
  parser.on('opentagstart', () => {
    line = parser.line
  })
  parser.on('opentag', (tag: SaxesTagNS) => {
    if (open.length >= depthMax) throw malformed(`elements are nested more than ${depthMax} deep`, parser.line)
    if (++elements > elementsMax) throw malformed(`it has more than ${elementsMax} elements`, parser.line)
    open.push({ name: tag.local, namespace: tag.uri, attributes: attributesOf(tag), content: [], line })
  })
  const addText = (part: string): void => {
    const content = open.at(-1)?.content
    if (content === undefined) return
    const last = content.at(-1)
    if (typeof last === 'string') content[content.length - 1] = last + part
    else content.push(part)
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => {
    const element = open.pop()
    if (element === undefined) return
    const parent = open.at(-1)
    if (parent === undefined) root = element
    else parent.content.push(element)
  })
  parser.write(text).close()
  if (root === undefined) throw malformed('it has no element', parser.line)
  return root
}

const xmlnsNamespace = 'http://www.w3.org/2000/xmlns/'

function attributesOf(tag: SaxesTagNS): ReadonlyMap<string, string> {
  const stated = Object.values(tag.attributes).filter(({ uri }) => uri !== xmlnsNamespace)
  return new Map(stated.map(({ local, uri, value }) => [uri === '' ? local : `{${uri}}${local}`, value]))
}

const malformed = (what: string, line: number): RecordError =>
  new RecordError('xml-malformed', `line ${line}: ${what}`, { field: `line ${line}` })

/** The elements directly inside, of this local name where one is given. */
export function childrenOf(element: XmlElement | undefined, name?: string): readonly XmlElement[] {
  const elements = element?.content.filter((part): part is XmlElement => typeof part !== 'string') ?? []
  return name === undefined ? elements : elements.filter((child) => child.name === name)
}

/** The first element on a path of local names; undefined where one of them is not there. */
export function childAt(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  let at = element
  for (const name of path) at = childrenOf(at, name)[0]
  return at
}

/** All text inside, in order, as it stands; '' where there is none. */
export function textOf(element: XmlElement | undefined): string {
  return element?.content.map((part) => (typeof part === 'string' ? part : textOf(part))).join('') ?? ''
}

/** The encoding that the XML declaration at the start of these bytes names; undefined where it names none. */
export function declaredEncoding(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 300)).toString('latin1')
  return /^(?:\xef\xbb\xbf)?<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']/.exec(head)?.[1]
}
