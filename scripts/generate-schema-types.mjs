// Writes schemas/types.ts from schemas/avro. `--check` says whether it is stale (exit 1) and writes nothing.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', 'schemas')
const read = (folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.avsc'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(root, folder, name), 'utf8')))
const records = [...read('avro/shared'), ...read('avro')]

const primitive = { string: 'string', int: 'number', long: 'number', boolean: 'boolean', bytes: 'Buffer' }
function typeOf(type) {
  if (Array.isArray(type)) return `${typeOf(type[1])} | null`
  if (typeof type === 'string') return primitive[type] ?? type.replace(/^hutong\./, '')
  if (type.type === 'array') return `${typeOf(type.items)}[]`
  throw new Error(`no TypeScript form for Avro type ${JSON.stringify(type)}`)
}
const lines = ['// Generated from schemas/avro by `npm run schemas`. Do not edit.', '']
for (const record of records) {
  lines.push(`/** ${record.doc} */`, `export interface ${record.name} {`)
  for (const field of record.fields) lines.push(`  /** ${field.doc} */`, `  ${field.name}: ${typeOf(field.type)}`)
  lines.push('}', '')
}
const text = lines.join('\n')
const target = join(root, 'types.ts')
if (process.argv.includes('--check')) {
  let current = ''
  try {
    current = readFileSync(target, 'utf8')
  } catch {
    // a missing file is a stale one
  }
  if (current !== text) {
    process.stderr.write('schemas/types.ts is stale: run `npm run schemas`\n')
    process.exit(1)
  }
} else writeFileSync(target, text)
