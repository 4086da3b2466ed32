import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rm, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { dirname } from 'node:path'
import { Transform, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { RetryableError } from '../core/errors.js'
import { readAnswer, refusedBy } from './uplink-answer.js'

/** What a release's bytes must be: SHA-256 in hex, and their number. */
export interface ReleaseBytes {
  readonly sha256: string
  readonly bytes: number
}

export interface ReleaseWay {
  /** Asks for the release with these headers. */
  ask(headers: Readonly<Record<string, string>>): Promise<IncomingMessage>
  /** Resolves when so many more bytes may come. */
  pace(bytes: number): Promise<void>
  /** `a` goes on behind what is there, `w` begins anew; a test stands in for a disk that fails. */
  readonly createFile?: (file: string, flags: 'a' | 'w') => Writable
}

/**
 * The bytes of a release in a file, continued where an earlier attempt was cut off. What does not fit what was there is
 * fetched once more from the start; false, and no file, where the whole is not what the hash says either.
 * @throws RetryableError where less came or it was refused; the errors of the way and of the disk
 */
export async function downloadRelease(release: ReleaseBytes, file: string, way: ReleaseWay): Promise<boolean> {
  await mkdir(dirname(file), { recursive: true })
  for (;;) {
    const had = await sizeOf(file)
    const mayBeWhole = had <= release.bytes && (had === release.bytes || (await fetchRest(release, file, had, way)))
    if (mayBeWhole) {
      const size = await sizeOf(file)
      if (size < release.bytes) throw new RetryableError(`${size} of ${release.bytes} bytes came`)
      if ((await hashOf(file)) === release.sha256) return true
    }
    await rm(file, { force: true })
    if (had === 0) return false
  }
}

/** Whether what is in the file now may be the release; false where it cannot be. */
async function fetchRest({ bytes }: ReleaseBytes, file: string, had: number, way: ReleaseWay): Promise<boolean> {
  const response = await way.ask(had > 0 ? { range: `bytes=${had}-` } : {})
  const place = placeOf(response, had, bytes)
  if (place === 'refused') {
    throw new RetryableError(refusedBy(await readAnswer(response))?.sentence ?? 'unexpected answer')
  }
  if (place === 'elsewhere') {
    response.destroy()
    return false
  }
  const create = way.createFile ?? ((path, flags) => createWriteStream(path, { flags, flush: true }))
  const limit = { most: place === 'behind' ? bytes - had : bytes, isOver: false }
  const target = create(file, place === 'behind' ? 'a' : 'w')
  const closed = new Promise<void>((resolve) => target.once('close', () => resolve()))
  try {
    await pipeline(response, paced(way, limit), target)
  } catch (error) {
    if (!limit.isOver) throw error
    return false
  } finally {
    // A write that is still under way would come after whoever removes the file, or looks how far it is.
    await closed
  }
  return true
}

/**
 * Where the bytes of an answer belong: behind those that are there, at the start (a server may ignore Range: RFC 9110
 * section 14.2), or nowhere, as with 416 and with a range that was not asked for or is of something of another length.
 */
export function placeOf(
  { statusCode, headers }: Pick<IncomingMessage, 'statusCode' | 'headers'>,
  had: number,
  bytes: number,
): 'behind' | 'start' | 'elsewhere' | 'refused' {
  if (statusCode === 200) return 'start'
  if (statusCode === 416 && had > 0) return 'elsewhere'
  if (statusCode !== 206 || had === 0) return 'refused'
  const [, from, length] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers['content-range'] ?? '') ?? []
  return Number(from) === had && (length === '*' || Number(length) === bytes) ? 'behind' : 'elsewhere'
}

/** Back pressure reaches the sender: what is not taken is not sent. More than was signed never reaches the disk. */
const paced = ({ pace }: ReleaseWay, limit: { readonly most: number; isOver: boolean }): Transform => {
  let came = 0
  return new Transform({
    highWaterMark: 64 * 1024,
    transform(chunk: Buffer, _encoding, done) {
      came += chunk.length
      if (came > limit.most) {
        limit.isOver = true
        return done(new Error('more bytes came than were signed'))
      }
      pace(chunk.length).then(
        () => done(null, chunk),
        (error: unknown) => done(error as Error),
      )
    },
  })
}

/** Says so of an error, or of what caused it: no room, or a quota is used up. */
export const isDiskFull = (error: unknown): boolean =>
  error instanceof Error &&
  (['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '') || isDiskFull(error.cause))

const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.size ?? 0

async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk)
  return hash.digest('hex')
}
