// Writes docs/errors.md and docs/configuration.md from the built product. `--check` says whether they are stale (exit 1).
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gatewayRefusals } from '../dist/core/gateway-refusals.js'
import { ignoreReasons, recordErrors } from '../dist/core/errors.js'
import { deploymentConfig, feedFrame } from '../dist/cli/config-schema.js'
import { connectors } from '../dist/cli/connectors.js'

const docs = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs')
const cell = (text) =>
  String(text ?? '')
    .replaceAll('|', '\\|')
    .replaceAll('\n', ' ')

function errorsPage() {
  const lines = ['# Error codes 错误代码', '', 'Generated from `core/errors.ts` by `npm run docs`. Do not edit.', '']
  lines.push('A dead letter carries one of these codes, the place, and a sentence that says what was found.', '')
  for (const [code, { en, zh, doEn, doZh }] of Object.entries(recordErrors)) {
    lines.push(`## ${code}`, '', `${en}. What to do: ${doEn}.`, '', `${zh}。处理办法：${doZh}。`, '')
  }
  lines.push('## Reasons for which a message is kept but not used', '', '| Reason | Meaning |', '|---|---|')
  for (const [reason, meaning] of Object.entries(ignoreReasons)) lines.push(`| ${reason} | ${meaning} |`)
  lines.push(
    '',
    '## What the gateway refuses',
    '',
    'An edge keeps what is refused, logs code and remedy, and tries again.',
  )
  lines.push('', '| Code | HTTP | Meaning | What to do |', '|---|---|---|---|')
  for (const [code, { status, en, doEn }] of Object.entries(gatewayRefusals))
    lines.push(`| ${code} | ${status} | ${en} | ${doEn} |`)
  return `${lines.join('\n')}\n`
}

function rows(properties, required, prefix) {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const key = `${prefix}${name}`
    const own = `| \`${key}\` | ${cell(typeOf(schema))} | ${required.includes(name) ? 'required' : cell(schema.default === undefined ? '' : JSON.stringify(schema.default))} | ${cell(schema.description)} |`
    const inner = schema.properties ?? schema.items?.properties
    if (inner === undefined) return [own]
    const owner = schema.properties ? schema : schema.items
    return [own, ...rows(inner, owner.required ?? [], `${key}${schema.items ? '[]' : ''}.`)]
  })
}

function typeOf(schema) {
  if (schema.anyOf)
    return schema.anyOf.map((one) => (one.const === undefined ? typeOf(one) : JSON.stringify(one.const))).join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`
  return schema.type ?? (schema.patternProperties ? 'mapping' : 'any')
}

function configurationPage() {
  const head = ['| Setting | Form | Default | Meaning |', '|---|---|---|---|']
  const deployment = Object.fromEntries(
    Object.entries(deploymentConfig.properties).filter(([name]) => name !== 'feeds'),
  )
  const lines = [
    '# Configuration',
    '',
    'Generated from the schemas by `npm run docs`. Do not edit. `hutong check <file>` reports all problems of a file.',
    '',
  ]
  lines.push('`${NAME}` in any text value is replaced by that environment variable: secrets stay out of the file.', '')
  lines.push('## Deployment', '', ...head, ...rows(deployment, deploymentConfig.required ?? [], ''), '')
  lines.push('## Every feed (`feeds[]`)', '', ...head, ...rows(feedFrame, Object.keys(feedFrame), ''), '')
  for (const [name, connector] of connectors) {
    lines.push(
      `## Feeds of connector ${name}`,
      '',
      ...head,
      ...rows(connector.config.properties, connector.config.required ?? [], ''),
      '',
    )
  }
  return lines.join('\n')
}

const stale = []
for (const [name, text] of [
  ['errors.md', errorsPage()],
  ['configuration.md', configurationPage()],
]) {
  const file = join(docs, name)
  let current
  try {
    current = readFileSync(file, 'utf8')
  } catch {
    // a missing page is a stale one
  }
  if (current === text) continue
  stale.push(name)
  if (!process.argv.includes('--check')) writeFileSync(file, text)
}
if (process.argv.includes('--check') && stale.length > 0) {
  process.stderr.write(`stale: ${stale.map((name) => `docs/${name}`).join(', ')}; run \`npm run docs\`\n`)
  process.exit(1)
}
