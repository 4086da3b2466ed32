import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { checkConfiguration, formatProblem } from './config.js'
import { connectors } from './connectors.js'
import { exitCodes, type Terminal } from './terminal.js'

export function checkCommand(program: Command, terminal: Terminal): void {
  program
    .command('check <config>')
    .description('report all problems of a configuration file at once, with line numbers and the nearest valid name')
    .option('--json', 'one JSON object: {"file","ok","problems":[{"line","path","message"}]}')
    .addHelpText('after', '\nExit code: 0 the file is valid, 1 it has problems, 2 it cannot be read.')
    .action(async (file: string, options: { json?: boolean }) => {
      const text = await readFile(file, 'utf8').catch((error: unknown) => {
        throw new UsageError(`cannot read ${file}: ${(error as Error).message}`)
      })
      const { problems, configuration } = checkConfiguration(text, connectors, terminal.environment.variables)
      if (options.json === true) terminal.out(`${JSON.stringify({ file, ok: problems.length === 0, problems })}\n`)
      else if (configuration !== undefined) terminal.out(`${file}: valid, ${configuration.feeds.length} feed(s)\n`)
      else for (const problem of problems) terminal.out(`${formatProblem(file, problem)}\n`)
      process.exitCode = problems.length === 0 ? exitCodes.ok : exitCodes.found
    })
}
