import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { inspect, type Inspection } from '../connectors/hl7v2/inspect.js'
import { filesOf } from './files.js'
import { exitCodes, type Terminal } from './terminal.js'

export function inspectCommand(program: Command, terminal: Terminal): void {
  program
    .command('inspect <file...>')
    .description(
      'show the HL7 v2 messages of files as the reader sees them: charset, flags, segments, or what is wrong',
    )
    .option('--json', 'one JSON object per message and line')
    .option('--charset <name>', "the sender's charset, as a feed would declare it (for example gb18030)")
    .addHelpText(
      'after',
      '\nFolders are walked. Exit code: 0 all messages are readable, 1 some are not, 2 a file cannot be read.',
    )
    .action(async (paths: string[], options: { json?: boolean; charset?: string }) => {
      let faults = 0
      for await (const file of filesOf(paths)) {
        for (const message of inspect(file, await readFile(file), options.charset)) {
          if ('error' in message) faults++
          terminal.out(options.json === true ? `${JSON.stringify(message)}\n` : describe(message))
        }
      }
      process.exitCode = faults === 0 ? exitCodes.ok : exitCodes.found
    })
}

function describe(message: Inspection): string {
  const place = `${message.file} #${message.index}`
  if ('error' in message) return `${place}  ${message.error.code}\n  ${message.error.message}\n\n`
  const flags = message.flags.length === 0 ? '' : `  [${message.flags.join(', ')}]`
  const lines = message.segments.map(({ name, fields }) => {
    const filled = fields.flatMap((field, index) => (field === '' ? [] : [`${index + 1}=${field}`]))
    return `  ${name.padEnd(4)}${filled.join('  ')}\n`
  })
  return `${place}  ${message.type}  ${message.controlId}  ${message.charset}${flags}\n${lines.join('')}\n`
}
