import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

const dayMs = 86_400_000
/** Of a site that has not run for a day yet: 10,000 messages of 3.5 KB. */
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

/** What a spool writes in a day, from the files it keeps; undefined where they span less than a day. */
export function bytesPerDay(files: readonly SpoolFile[]): number | undefined {
  const from = files.reduce((least, { createdAt, changedAt }) => Math.min(least, createdAt, changedAt), Infinity)
  const to = files.reduce((most, { changedAt }) => Math.max(most, changedAt), -Infinity)
  if (!(to - from >= dayMs)) return undefined
  return (files.reduce((sum, { bytes }) => sum + bytes, 0) * dayMs) / (to - from)
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
