import { mkdir, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pause } from '../../core/pause.js'
import { contentOf, framed, type Journal, type JournalEntry, type SimulatedMessage } from './journal.js'

export interface FileSimulatorOptions {
  /** Where files are dropped. */
  readonly folder: string
  /** Where the receiver moves what it has taken (default `archive` in the folder). */
  readonly archiveFolder?: string
  /** Where the receiver moves what it refuses in part or whole (default `error` in the folder). */
  readonly errorFolder?: string
  readonly messages: Iterator<SimulatedMessage>
  readonly journal: Journal
  /** Messages in a batch file (default 50). */
  readonly messagesPerFile?: number
  /** Messages a second; as fast as files are taken away where unset. */
  readonly rate?: number
  /** Files that wait in the folder before the next one is dropped (default 8). */
  readonly filesWaiting?: number
  /** Begins every file name, so that runs do not overwrite each other's (default `results`). */
  readonly namePrefix?: string
  /** FHS-7 and BHS-7 of the first file, ms; one minute more for each further file. */
  readonly startAt?: number
  readonly pollMs?: number
}

interface Dropped {
  readonly name: string
  readonly entries: readonly JournalEntry[]
}

/**
 * Plays an LIS that drops HL7 batch files (FHS, BHS, messages, BTS, FTS; HL7 v2.5.1 section 2.10.3; CRLF line ends).
 * Each is written under `.tmp`, flushed, then renamed. Its messages count as acknowledged when the receiver has moved it
 * to its archive, as refused when it has moved it to the error folder. Resolves when all files are gone; after `signal`
 * aborts no further file is dropped and those there are waited for 2 s.
 */
export async function dropFiles(
  options: FileSimulatorOptions,
  signal: AbortSignal,
): Promise<{ readonly files: number }> {
  const { folder, journal, messages, messagesPerFile = 50, rate, filesWaiting = 8, pollMs = 50 } = options
  await mkdir(folder, { recursive: true })
  const started = performance.now()
  let waiting: Dropped[] = []
  let sent = 0
  let files = 0
  let exhausted = false
  while (!exhausted && !signal.aborted) {
    waiting = await collect(waiting, options)
    if (waiting.length >= filesWaiting) {
      await pause(pollMs, signal)
      continue
    }
    const batch = takeBatch(messages, messagesPerFile)
    exhausted = batch.length < messagesPerFile
    if (batch.length === 0) break
    files++
    waiting.push(await drop(batch, files, options))
    sent += batch.length
    if (rate !== undefined) await pause(started + (sent / rate) * 1000 - performance.now(), signal)
  }
  const grace = performance.now() + 2000
  while (waiting.length > 0 && (!signal.aborted || performance.now() < grace)) {
    await pause(pollMs, new AbortController().signal)
    waiting = await collect(waiting, options)
  }
  for (const { entries } of waiting) for (const entry of entries) journal.settle(entry)
  journal.flush()
  return { files }
}

function takeBatch(messages: Iterator<SimulatedMessage>, count: number): SimulatedMessage[] {
  const batch: SimulatedMessage[] = []
  while (batch.length < count) {
    const next = messages.next()
    if (next.done === true) break
    batch.push(asLines(next.value))
  }
  return batch
}

/** The message as it stands in a file: lines end in CR LF, the last line end belongs to the file. */
function asLines(message: SimulatedMessage): SimulatedMessage {
  const text = contentOf(message).toString('latin1').replace(/\r+$/, '').replaceAll('\r', '\r\n')
  return { ...message, frame: framed(Buffer.from(text, 'latin1')) }
}

async function drop(
  batch: readonly SimulatedMessage[],
  number: number,
  options: FileSimulatorOptions,
): Promise<Dropped> {
  const { journal, folder, namePrefix = 'results', startAt = 0 } = options
  const name = `${namePrefix}-${String(number).padStart(5, '0')}.hl7`
  const entries = batch.map((message) => journal.open(message))
  for (const entry of entries) journal.attempt(entry)
  await writeRenamed(join(folder, name), batchFile(batch, name, startAt + (number - 1) * 60_000))
  return { name, entries }
}

/** A reader of the folder sees the file under its name only when it is whole. */
export async function writeRenamed(path: string, content: Buffer): Promise<void> {
  const file = await open(`${path}.tmp`, 'w')
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.tmp`, path)
}

/** One batch file: FHS, BHS, the messages, BTS with their number, FTS; every line ends in CR LF. */
export function batchFile(batch: readonly SimulatedMessage[], name: string, at: number): Buffer {
  const time = new Date(at + 8 * 3_600_000).toISOString().replace(/[-:T]/g, '').slice(0, 14)
  const head = `FHS|^~\\&|LIS|H003|HUTONG||${time}||${name}\r\nBHS|^~\\&|LIS|H003|HUTONG||${time}\r\n`
  const tail = `BTS|${batch.length}\r\nFTS|1\r\n`
  const lines = batch.flatMap((message) => [contentOf(message), Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(head, 'latin1'), ...lines, Buffer.from(tail, 'latin1')])
}

/** Notes which files were taken away, and where to; gives those still there. */
async function collect(waiting: readonly Dropped[], options: FileSimulatorOptions): Promise<Dropped[]> {
  const { folder, journal, archiveFolder = join(folder, 'archive'), errorFolder = join(folder, 'error') } = options
  const left: Dropped[] = []
  for (const dropped of waiting) {
    const archived = await exists(join(archiveFolder, dropped.name))
    if (!archived && !(await exists(join(errorFolder, dropped.name)))) {
      left.push(dropped)
      continue
    }
    if (!archived || (await exists(join(folder, dropped.name)))) {
      // The archive takes the name first and the file after it; while both stand the move is under way.
      if (archived) {
        left.push(dropped)
        continue
      }
    }
    for (const entry of dropped.entries) {
      journal.answer(entry, archived ? 'archived' : 'error', archived)
      journal.settle(entry)
    }
  }
  return left
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
