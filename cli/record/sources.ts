import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cutMessages, sniffUnicode } from '../../connectors/hl7v2/framing.js'
import { RecordError, UsageError } from '../../core/errors.js'
import type { Spool } from '../../log/spool.js'
import type { Configuration } from '../config.js'
import { filesOf } from '../files.js'
import { openSpoolToRead } from '../runtime.js'

/** One message to record, its byte order mark before it where its file had one. */
export interface RecordInput {
  readonly bytes: Buffer
  /** ms; undefined for a message of a file. */
  readonly receivedAt?: number
}

/** What is there to record, and what could not be read, by reason. */
export interface RecordInputs {
  readonly inputs: readonly RecordInput[]
  readonly unreadable: Readonly<Record<string, number>>
}

/** All messages of files and folders. @throws UsageError where there is none of that name */
export async function fromFiles(paths: readonly string[]): Promise<RecordInputs> {
  const inputs: RecordInput[] = []
  for await (const file of filesOf(paths)) inputs.push(...inputsOf(await readFile(file)))
  return { inputs, unreadable: {} }
}

/** The messages of a file or of what a connection sent; what stands outside of messages is left behind. */
export function inputsOf(content: Buffer, receivedAt?: number): RecordInput[] {
  const mark = content.subarray(0, sniffUnicode(content).bom)
  return cutMessages(content).messages.map(({ bytes, offset }) => {
    const end = offset + bytes.length
    const after = /^(?:\r\n|\r|\n)/.exec(content.toString('latin1', end, end + 2))?.[0] ?? ''
    const whole = Buffer.concat([mark, bytes, Buffer.from(mark.length === 2 ? '' : after)])
    return { bytes: whole, ...(receivedAt !== undefined && { receivedAt }) }
  })
}

/** The newest `last` messages that a spool retains of a feed. @throws UsageError where there is no such spool or feed */
export async function fromSpool(
  configuration: Configuration,
  feed: string | undefined,
  last: number,
): Promise<RecordInputs & { readonly feed: string }> {
  const dir = join(configuration.dataDir ?? '.hutong', 'spool')
  if ((await stat(dir).catch(() => undefined)) === undefined) {
    throw new UsageError(`${dir}: there is no spool; --spool names the data folder that it stands in`)
  }
  const spool = await openSpoolToRead(configuration)
  try {
    return await newestOf(spool, feed, last)
  } finally {
    await spool.close()
  }
}

async function newestOf(
  spool: Spool,
  feed: string | undefined,
  last: number,
): Promise<RecordInputs & { readonly feed: string }> {
  const marks = [...spool.watermarks()].sort((a, b) => b.epoch - a.epoch)
  const feeds = [...new Set(marks.map((mark) => mark.feed))]
  const of = feed ?? (feeds.length === 1 ? feeds[0] : undefined)
  if (of === undefined || !feeds.includes(of)) {
    throw new UsageError(feeds.length === 0 ? 'the spool holds no messages' : `--feed: one of ${feeds.join(', ')}`)
  }
  const found: RecordInput[][] = []
  const unreadable: Record<string, number> = {}
  for (const mark of marks.filter((one) => one.feed === of)) {
    for (let seq = mark.seq; seq > 0 && found.length < last; seq--) {
      try {
        const message = await spool.read({ ...mark, seq })
        if (message === undefined) break
        found.push(inputsOf(message.content, message.receivedAt))
      } catch (error) {
        if (!(error instanceof RecordError)) throw error
        unreadable[error.code] = (unreadable[error.code] ?? 0) + 1
      }
    }
  }
  return { inputs: found.reverse().flat(), unreadable, feed: of }
}
