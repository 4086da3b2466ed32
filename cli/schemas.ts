import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { checkSchemas, registerSchemas, type Violation } from '../schemas/compatibility.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import { prefixOf, topicContents } from './runtime.js'
import { exitCodes, type Terminal } from './terminal.js'

export function schemasCommand(program: Command, terminal: Terminal): void {
  const schemas = program.command('schemas').description('check the Avro schemas, or register them')
  schemas
    .command('check')
    .description('check the rules and full transitive compatibility with every released version')
    .option('--json', 'one JSON object: {"ok","violations":[…]}')
    .addHelpText('after', '\nExit code: 0 all hold, 1 a rule is broken.')
    .action((flags: { json?: boolean }) => {
      tell(terminal, checkSchemas(), flags.json === true, 'all schemas keep the rules and agree with every release\n')
    })
  withPlace(schemas.command('register'))
    .description('check, then register every subject with FULL_TRANSITIVE compatibility; run once before an upgrade')
    .option('--json', 'one JSON object: {"ok","violations":[…],"registered":[{"subject","id"}]}')
    .addHelpText(
      'after',
      '\nThe registry: HUTONG_SCHEMA_REGISTRY_URL or schemaRegistry of --config. Exit code: 0 done, 1 refused, 3 not there.',
    )
    .action(async (flags: PlaceFlags & { json?: boolean }) => {
      const configuration = await configurationOf(flags, terminal)
      const url = configuration.schemaRegistry?.url ?? terminal.environment.schemaRegistryUrl
      if (url === undefined)
        throw new UsageError('no schema registry: set HUTONG_SCHEMA_REGISTRY_URL or name a --config')
      const { registered, violations } = await registerSchemas(url, prefixOf(configuration), topicContents)
      const done = registered.map(({ subject, id }) => `${subject}  id ${id}\n`).join('')
      tell(terminal, violations, flags.json === true, done, { registered })
    })
}

function tell(
  terminal: Terminal,
  violations: readonly Violation[],
  json: boolean,
  done: string,
  more: object = {},
): void {
  const ok = violations.length === 0
  if (json) terminal.out(`${JSON.stringify({ ok, violations, ...more })}\n`)
  else
    terminal.out(
      ok ? done : violations.map((one) => `${one.subject} ${one.path}: ${one.problem}; ${one.remedy}\n`).join(''),
    )
  process.exitCode = ok ? exitCodes.ok : exitCodes.found
}
