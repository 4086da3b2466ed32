import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** Of a site that has not run for an hour yet: 10,000 messages of 3.5 KB. */
export const assumedBytesPerDay = 10_000 * 3.5 * 1024

/** Whole days that a spool takes messages while nothing can be forwarded. All in bytes. */
export function outageDays(room: {
  readonly freeBytes: number
  /** Below this much free disk nothing is acknowledged. */
  readonly reserveBytes: number
  /** The spool grows no larger. */
  readonly retentionBytes: number
  readonly bytesPerDay: number
}): number {
  const usable = Math.max(0, Math.min(room.freeBytes - room.reserveBytes, room.retentionBytes))
  return Math.floor(usable / Math.max(1, room.bytesPerDay))
}

/** One file of a spool's folder. */
export interface SpoolFile {
  readonly bytes: number
  readonly createdAt: number
  readonly changedAt: number
}

/** What a spool writes in a day, from the files it keeps, and the days they span; undefined below an hour. */
export function bytesPerDay(
  files: readonly SpoolFile[],
): { readonly bytes: number; readonly spanDays: number } | undefined {
  const from = files.reduce((least, { createdAt, changedAt }) => Math.min(least, createdAt, changedAt), Infinity)
  const to = files.reduce((most, { changedAt }) => Math.max(most, changedAt), -Infinity)
  if (!(to - from >= hourMs)) return undefined
  const spanDays = (to - from) / dayMs
  return { bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) / spanDays, spanDays }
}

/** The segments of a spool, which a running process may be writing; none where there is no spool yet. */
export async function spoolFiles(dir: string): Promise<readonly SpoolFile[]> {
  const names = await readdir(dir).catch(() => [])
  const files = names
    .filter((name) => name.endsWith('.segment'))
    .map((name) =>
      stat(join(dir, name)).then(
        ({ size, birthtimeMs, mtimeMs }) => [{ bytes: size, createdAt: birthtimeMs, changedAt: mtimeMs }],
        () => [], // removed by retention meanwhile
      ),
    )
  return (await Promise.all(files)).flat()
}
