import { open, type FileHandle } from 'node:fs/promises'
import { MessageCutter } from '../../connectors/hl7v2/message-cutter.js'
import { familyBytes, readFamily, type Family, type FamilyReading } from '../../connectors/survey/family.js'
import { Hl7Survey } from '../../connectors/survey/hl7-survey.js'
import { Tally } from '../../connectors/survey/tally.js'

/** The largest message taken by default, as the connectors take it. */
const messageBytesMax = 16 * 1024 * 1024
const chunkBytes = 1024 * 1024

export interface SampleBounds {
  /** HL7 v2 messages looked at; the rest is left unread. */
  readonly messagesMax: number
}

interface FamilyCount {
  count: number
  readonly evidence: Tally
}

/** Everything seen of a sender so far, file by file or connection by connection, in bounded memory. */
export class Sample {
  readonly families = new Map<Family, FamilyCount>()
  readonly survey: Hl7Survey
  files = 0
  bytes = 0
  unreadable = 0
  truncated = false

  constructor(
    private readonly bounds: SampleBounds,
    now: number,
  ) {
    this.survey = new Hl7Survey(now)
  }

  get full(): boolean {
    return this.survey.messages >= this.bounds.messagesMax
  }

  /** Reads a file in chunks; one that cannot be read is counted, not named, for names of files may hold patients'. */
  async addFile(path: string, progress: (bytes: number, messages: number) => void): Promise<void> {
    this.files++
    let file: FileHandle | undefined
    try {
      file = await open(path, 'r')
      const chunks = new ChunkReader(file)
      const head = await chunks.next(familyBytes)
      const reading = readFamily(head)
      this.#note(reading)
      this.bytes += head.length
      if (!isHl7(reading.family)) {
        this.bytes += Math.max(0, (await file.stat()).size - head.length)
        progress(this.bytes, this.survey.messages)
        return
      }
      const cutter = new MessageCutter(messageBytesMax)
      for (let chunk = head; chunk.length > 0; chunk = await chunks.next(chunkBytes)) {
        if (chunk !== head) this.bytes += chunk.length
        this.#survey(cutter.push(chunk))
        progress(this.bytes, this.survey.messages)
        if (this.full) {
          this.truncated = true
          return
        }
      }
      this.#survey(cutter.end())
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error
      this.unreadable++
    } finally {
      await file?.close()
    }
  }

  /** What one connection said. */
  addBytes(content: Buffer): void {
    const reading = readFamily(content)
    this.#note(reading)
    this.bytes += content.length
    if (!isHl7(reading.family)) return
    const cutter = new MessageCutter(messageBytesMax)
    this.#survey(cutter.push(content))
    this.#survey(cutter.end())
  }

  #note({ family, evidence }: FamilyReading): void {
    let counts = this.families.get(family)
    if (counts === undefined) {
      counts = { count: 0, evidence: new Tally(200) }
      this.families.set(family, counts)
    }
    counts.count++
    for (const { code, detail } of evidence) counts.evidence.add(`${code}\x1f${detail}`)
  }

  #survey(messages: ReturnType<MessageCutter['push']>): void {
    for (const { content, tooLarge } of messages) {
      if (this.full) {
        this.truncated = true
        return
      }
      if (tooLarge) this.survey.addTooLarge()
      else this.survey.add(content)
    }
  }
}

const isHl7 = (family: Family): boolean => family === 'hl7v2' || family === 'hl7v2-mllp' || family === 'hl7v2-batch'

class ChunkReader {
  constructor(private readonly file: FileHandle) {}

  /** The next bytes in a buffer of their own; empty at the end. */
  async next(size: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(size)
    let length = 0
    while (length < size) {
      const { bytesRead } = await this.file.read(buffer, length, size - length, null)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return buffer.subarray(0, length)
  }
}
