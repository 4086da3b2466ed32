import { stat } from 'node:fs/promises'
import { InvalidArgumentError, type Command } from 'commander'
import { loadCatalogue } from '../catalogue/catalogue.js'
import { UsageError } from '../core/errors.js'
import { filesOf } from './files.js'
import { hospitalPattern, writeDraft } from './sniff/draft.js'
import { addressOf, hearPeer, hearSenders, type LineOptions } from './sniff/line.js'
import { reportText } from './sniff/render.js'
import { reportOf, type LineReport, type SniffReport } from './sniff/report.js'
import { Sample } from './sniff/sample.js'
import { sniffTexts } from './sniff/texts.js'
import { exitCodes, progressLine, type Terminal } from './terminal.js'

interface SniffFlags {
  readonly hospital: string
  readonly mappings?: string[]
  readonly messages: number
  readonly out?: string
  readonly force?: boolean
  readonly listen?: number
  readonly host: string
  readonly seconds: number
  readonly save?: string
  readonly json?: boolean
}

export function sniffCommand(program: Command, terminal: Terminal): void {
  program
    .command('sniff [source...]')
    .description('look at what a system sends (sample files, folders, or host:port) and draft its configuration')
    .option('--hospital <code>', 'institution code for the draft', hospitalCode, 'HOSPITAL')
    .option('--mappings <file...>', 'mapping files the hospital has already')
    .option('--messages <n>', 'HL7 v2 messages to look at', count, 100_000)
    .option('--out <dir>', 'write hutong.yaml and mapping-<hospital>.tsv there')
    .option('--force', 'overwrite files that are there')
    .option('--listen <port>', 'wait for senders on this port; nothing is ever acknowledged', port)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--seconds <n>', 'how long a line is listened to, at most a day', seconds, 15)
    .option('--save <file>', 'record the bytes that come over the line (patient data: keep it safe)')
    .option('--json', 'the whole report as one JSON object')
    .addHelpText(
      'after',
      '\nOnly counts and shapes are printed: no names, numbers of patients, result texts or names of files.' +
        '\nhost:port is connected to and heard; nothing is sent. --listen answers nothing, so that senders keep what they sent.' +
        '\nExit code: 0 something was recognised, 1 nothing was, 2 a source or an option is wrong, 3 nobody answers there.',
    )
    .action(async (sources: string[], flags: SniffFlags) => {
      const report = await sniff(sources, flags, terminal)
      const texts = sniffTexts(terminal.environment.language)
      const files = flags.out === undefined ? undefined : await writeDraft(report, flags.out, flags.force === true)
      if (flags.json === true) terminal.out(`${JSON.stringify({ ...report, written: files ?? null })}\n`)
      else {
        terminal.out(reportText(report, texts))
        if (files !== undefined) {
          terminal.out(`\n${texts.word('written')}: ${files.configuration}\n${' '.repeat(2)}${files.mapping}\n`)
          terminal.out(`${texts.word('next')}: hutong check ${files.configuration}\n`)
        }
      }
      const recognised = report.families.some(({ family }) => family !== 'unknown' && family !== 'empty')
      process.exitCode = recognised ? exitCodes.ok : exitCodes.found
    })
}

async function sniff(sources: readonly string[], flags: SniffFlags, terminal: Terminal): Promise<SniffReport> {
  const catalogue = loadCatalogue({ mappingFiles: flags.mappings ?? [], setting: '--mappings' })
  const sample = new Sample({ messagesMax: flags.messages }, Date.now())
  const progress = progressLine(terminal)
  try {
    const line = await lineOf(sources, flags)
    if (line === undefined) await addFiles(sample, sources, (text) => progress.show(text))
    const report =
      line === undefined ? null : await addLine(sample, line, flags, terminal, (text) => progress.show(text))
    return reportOf(sample, catalogue, flags.hospital, report)
  } finally {
    progress.end()
  }
}

async function addFiles(sample: Sample, sources: readonly string[], show: (text: string) => void): Promise<void> {
  for await (const path of filesOf(sources)) {
    if (sample.full) {
      sample.truncated = true
      return
    }
    await sample.addFile(path, (bytes, messages) =>
      show(`${sample.files} files, ${(bytes / 1_048_576).toFixed(1)} MiB, ${messages} messages`),
    )
  }
}

/** The line that is meant, undefined for files. @throws UsageError */
async function lineOf(
  sources: readonly string[],
  flags: SniffFlags,
): Promise<{ readonly host: string; readonly port: number; readonly listen: boolean } | undefined> {
  if (flags.listen !== undefined) {
    if (sources.length > 0) throw new UsageError('--listen waits for senders: leave the sources out')
    return { host: flags.host, port: flags.listen, listen: true }
  }
  const [first] = sources
  if (first === undefined) throw new UsageError('name a sample file, a folder or host:port, or use --listen <port>')
  const address = addressOf(first)
  const isFile = address === undefined || (await stat(first).catch(() => undefined)) !== undefined
  if (isFile) {
    if (flags.save !== undefined) throw new UsageError('--save records a line: it needs host:port or --listen')
    return undefined
  }
  if (sources.length > 1) throw new UsageError('host:port stands alone: one line at a time')
  return { ...address, listen: false }
}

async function addLine(
  sample: Sample,
  { host, port: number, listen }: { readonly host: string; readonly port: number; readonly listen: boolean },
  flags: SniffFlags,
  terminal: Terminal,
  show: (text: string) => void,
): Promise<LineReport> {
  const stop = new AbortController()
  const interrupted = (): void => stop.abort()
  process.once('SIGINT', interrupted)
  const options: LineOptions = {
    host,
    port: number,
    waitMs: flags.seconds * 1000,
    ...(flags.save !== undefined && { saveTo: flags.save }),
    force: flags.force === true,
    progress: (bytes, connections) => show(`${connections} connection(s), ${bytes} bytes`),
    signal: stop.signal,
  }
  try {
    const heard = listen
      ? await hearSenders({
          ...options,
          listening: (bound) =>
            terminal.err(`listening on ${host}:${bound} for ${flags.seconds} s; nothing is acknowledged\n`),
        })
      : await hearPeer(options)
    for (const stream of heard.streams) sample.addBytes(stream)
    return heard.report
  } finally {
    process.removeListener('SIGINT', interrupted)
  }
}

function hospitalCode(text: string): string {
  if (!hospitalPattern.test(text))
    throw new InvalidArgumentError('letters, digits, dot, dash and underline, at most 64')
  return text
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 1e9) throw new InvalidArgumentError('a whole number from 1 on')
  return value
}

function seconds(text: string): number {
  const value = count(text)
  if (value > 86_400) throw new InvalidArgumentError('at most 86400, a day')
  return value
}

function port(text: string): number {
  const value = Number(text)
  if (text === '' || !Number.isInteger(value) || value < 0 || value > 65_535)
    throw new InvalidArgumentError('a TCP port, 0 for a free one')
  return value
}
