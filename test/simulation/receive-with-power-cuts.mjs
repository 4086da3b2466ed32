// The receive role of a configuration on a store whose unsynced writes are lost when this process is killed.
// node receive-with-power-cuts.mjs <config>
import { loadConfiguration } from '../../dist/cli/config.js'
import { connectors } from '../../dist/cli/connectors.js'
import { untilStopped } from '../../dist/cli/run.js'
import { openRuntime } from '../../dist/cli/runtime.js'
import { volatileFileSystem } from './volatile-file-system.mjs'

const configuration = await loadConfiguration(process.argv[2], connectors, process.env)
const runtime = await openRuntime({ configuration, connectors, roles: ['receive'], spoolFileSystem: volatileFileSystem })
await runtime.run(untilStopped())
await runtime.close()
