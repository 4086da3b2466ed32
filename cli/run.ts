import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { defaultRoles, roleProblem, roles, type Role } from './config-schema.js'
import { loadConfiguration } from './config.js'
import { connectors } from './connectors.js'
import { openRuntime } from './runtime.js'
import { heedSupervisor } from './supervise/heed.js'
import type { Terminal } from './terminal.js'

export function runCommand(program: Command, terminal: Terminal): void {
  program
    .command('run <config>')
    .description('run the roles of a configuration until SIGTERM or SIGINT')
    .option('--role <names>', `what this process does, comma-separated: ${roles.join(', ')}`)
    .addHelpText(
      'after',
      '\nStops gracefully: receivers first, work under way is finished, offsets are committed. A second signal ends at once.' +
        '\nA bug ends the process; its supervisor starts it again and it resumes where its last transaction stands.',
    )
    .action(async (file: string, options: { role?: string }) => {
      const configuration = await loadConfiguration(file, connectors, terminal.environment.variables)
      const wanted =
        options.role === undefined ? (configuration.roles ?? defaultRoles(configuration)) : rolesOf(options.role)
      const problem = roleProblem(wanted, configuration)
      if (problem !== undefined) throw new UsageError(problem)
      const { language } = terminal.environment
      const runtime = await openRuntime({ configuration, connectors, roles: wanted, language })
      if (configuration.database === undefined && runtime.database !== undefined) {
        runtime.logger.warn('no database configured: the embedded one does not flush to disk; for demo and tests only')
      }
      try {
        const supervisor = heedSupervisor(runtime)
        try {
          await runtime.run(AbortSignal.any([untilStopped(), supervisor.stopped]))
        } finally {
          supervisor.leave()
        }
      } finally {
        await runtime.close()
      }
    })
}

function rolesOf(text: string): Role[] {
  return text.split(',').map((name) => {
    const role = roles.find((known) => known === name.trim())
    if (role === undefined) throw new UsageError(`unknown role ${name}; known: ${roles.join(', ')}`)
    return role
  })
}

/** Aborts at the first SIGTERM or SIGINT; the second ends the process at once. */
export function untilStopped(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130)
      controller.abort()
    })
  }
  return controller.signal
}
