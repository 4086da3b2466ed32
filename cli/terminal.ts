import type { Environment } from '../core/environment.js'
import { UsageError } from '../core/errors.js'

/** Where a command writes, so that it can be tried without a process. */
export interface Terminal {
  out(text: string): void
  /** Progress and complaints. */
  err(text: string): void
  readonly interactive: boolean
  readonly environment: Environment
}

export function processTerminal(environment: Environment): Terminal {
  // Whoever read the output has gone (`| head`): end as for a request to stop, gracefully where the command knows how.
  process.stdout.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.stdout.on('error', () => undefined)
    process.kill(process.pid, 'SIGTERM')
  })
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    interactive: process.stderr.isTTY === true,
    environment,
  }
}

/** What a command's exit code says. */
export const exitCodes = {
  ok: 0,
  /** The command ran and found something wrong: a discrepancy, a failed case, an invalid file. */
  found: 1,
  /** The command line, a configuration or an address is wrong. */
  usage: 2,
  /** Something outside (broker, database, registry) is not there. */
  unavailable: 3,
} as const

/** A flag that counts. @throws UsageError */
export function numberFrom1(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`${name} must be a number from 1, not ${text}`)
  return value
}

/** A line that is rewritten in place on a terminal, and printed at most every `everyMs` elsewhere. */
export function progressLine(terminal: Terminal, everyMs = 5000): { show(text: string): void; end(): void } {
  let lastShown = 0
  let open = false
  return {
    show(text) {
      if (terminal.interactive) {
        terminal.err(`\r\x1b[2K${text}`)
        open = true
      } else if (Date.now() - lastShown >= everyMs) {
        lastShown = Date.now()
        terminal.err(`${text}\n`)
      }
    },
    end() {
      if (open) terminal.err('\n')
      open = false
    },
  }
}

/** Left-aligned columns, wide characters (hanzi) counted as two. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, displayWidth(cell))))
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell + ' '.repeat((widths[index] ?? 0) - displayWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

export function displayWidth(text: string): number {
  let width = 0
  for (const character of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/.test(
      character,
    )
      ? 2
      : 1
  return width
}
