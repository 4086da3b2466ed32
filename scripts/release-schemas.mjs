// Writes schemas/released/<version>/<event>.avsc, self-contained, from schemas/avro. The version is the package's unless
// given. Run at a release, after `hutong schemas check`; a version that was published is never written again (--force).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { force: { type: 'boolean', default: false } },
})
const version = positionals[0] ?? JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
const folder = join(root, 'schemas/released', version)
if (existsSync(folder) && !values.force) {
  process.stderr.write(`${folder} exists: a released schema never changes. --force before the version is published\n`)
  process.exit(1)
}
const compiled = join(root, 'dist/schemas/catalogue.js')
if (!existsSync(compiled)) {
  process.stderr.write('run `npm run build` first\n')
  process.exit(1)
}
const { loadEventSchemas } = await import(pathToFileURL(compiled).href)
mkdirSync(folder, { recursive: true })
for (const { event, schema } of loadEventSchemas(join(root, 'schemas/avro'))) {
  writeFileSync(join(folder, `${event}.avsc`), `${JSON.stringify(schema, null, 2)}\n`)
}
process.stdout.write(`${folder}\n`)
