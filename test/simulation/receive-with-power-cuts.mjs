// Roles of a configuration whose store loses its unsynced writes when this process is killed.
// node receive-with-power-cuts.mjs <config> [roles, comma-separated; default receive]
import { loadConfiguration } from '../../dist/cli/config.js'
import { connectors } from '../../dist/cli/connectors.js'
import { untilStopped } from '../../dist/cli/run.js'
import { openRuntime } from '../../dist/cli/runtime.js'
import { RetryableError } from '../../dist/core/errors.js'
import { volatileFileSystem } from './volatile-file-system.mjs'

const [file, roles = 'receive'] = process.argv.slice(2)
try {
  const configuration = await loadConfiguration(file, connectors, process.env)
  const runtime = await openRuntime({
    configuration,
    connectors,
    roles: roles.split(','),
    spoolFileSystem: volatileFileSystem,
  })
  try {
    await runtime.run(untilStopped())
  } finally {
    await runtime.close()
  }
} catch (error) {
  if (!(error instanceof RetryableError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 3 // as `hutong run` does where a part is not there
}
