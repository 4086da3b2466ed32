import { resolve } from 'node:path'
import { chdir } from 'node:process'
import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { createLogger } from '../core/telemetry.js'
import { installationPaths, ownInstallation } from './installation/installation.js'
import { untilStopped } from './run.js'
import { Supervisor } from './supervise/supervisor.js'
import type { Terminal } from './terminal.js'
import { ownVersion } from './version.js'

export function superviseCommand(program: Command, terminal: Terminal): void {
  program
    .command('supervise [folder]')
    .description(
      'what the service of an edge runs: keeps `run` running, reports to the gateway, updates and rolls back',
    )
    .option('--config <file>', "the site's configuration (default: hutong.yaml of the installation)")
    .option('--check', 'only say whether this version could supervise here, and exit')
    .addHelpText(
      'after',
      '\nfolder: the installation, with current.json and versions/ (default: the one this program stands in).' +
        '\ndocs/operations/fleet.md describes updates, trials and what is reported.',
    )
    .action(async (named: string | undefined, options: { config?: string; check?: boolean }) => {
      const folder = resolve(named ?? (await ownInstallation()) ?? '.')
      const configFile = resolve(options.config ?? installationPaths(folder).configuration)
      // Relative paths of configurations are those of the installation, for this process as for the program.
      chdir(folder)
      const logger = createLogger({ level: 'info', role: 'supervise' })
      const supervisor = await Supervisor.open({
        ...{ folder, configFile, logger },
        supervisorVersion: ownVersion(),
        variables: terminal.environment.variables,
        now: () => systemClock.now(),
      })
      if (options.check === true) return terminal.out(`${folder}: can be supervised\n`)
      await supervisor.run(untilStopped())
    })
}
