// Writes docs/errors.md, docs/configuration.md and a page for each connector from the built product. `--check` says whether they are
// stale (exit 1).
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gatewayRefusals } from '../dist/core/gateway-refusals.js'
import { ignoreReasons, recordErrors } from '../dist/core/errors.js'
import { deploymentConfig, feedFrame } from '../dist/cli/config-schema.js'
import { connectors } from '../dist/cli/connectors.js'
import { decode } from '../dist/connectors/hl7v2/charset.js'
import { parse, stringify } from 'yaml'
import { Value } from '@sinclair/typebox/value'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const docs = join(root, 'docs')
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
  lines.push('', '| Code | HTTP | Meaning 含义 | What to do 处理办法 |', '|---|---|---|---|')
  for (const [code, { status, en, zh, doEn, doZh }] of Object.entries(gatewayRefusals))
    lines.push(`| ${code} | ${status} | ${cell(en)}<br>${cell(zh)} | ${cell(doEn)}<br>${cell(doZh)} |`)
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
  lines.push('## Feeds of a connector', '', 'Each has a page with its settings and a worked example:', '')
  for (const name of connectors.keys()) lines.push(`- [${name}](connectors/${name}.md)`)
  lines.push('')
  return lines.join('\n')
}

/** connectors/<name>/about.md, the settings, and connectors/<name>/example/: a feed, a message of it, and what becomes of that. */
function connectorPage(name, connector) {
  const folder = join(root, 'connectors', name)
  const example = join(folder, 'example')
  const feedText = readFileSync(join(example, 'feed.yaml'), 'utf8')
  const messageFile = readdirSync(example).find((file) => file.startsWith('message.'))
  const content = readFileSync(join(example, messageFile))
  const { name: feed, hospital, connector: kind, ...settings } = parse(feedText)
  if (kind !== name) throw new Error(`${example}/feed.yaml is of connector ${kind}`)
  const filled = Value.Default(connector.config, settings)
  if (!Value.Check(connector.config, filled)) {
    const [first] = Value.Errors(connector.config, filled)
    throw new Error(`${example}/feed.yaml: ${first.path}: ${first.message}`)
  }
  const receivedAt = Date.UTC(2026, 2, 5, 2, 20)
  const input = { content, feed, hospital, environment: 'test', receivedAt, messageId: '0'.repeat(64) }
  const { events } = connector.parser(filled)(input)
  if (events.length === 0) throw new Error(`${example}/${messageFile} becomes no event`)
  const rowsOfSettings = rows(connector.config.properties, connector.config.required ?? [], '')
  return [
    `# Connector ${name}`,
    '',
    `Generated from \`connectors/${name}/\` by \`npm run docs\`. Do not edit.`,
    '',
    readFileSync(join(folder, 'about.md'), 'utf8').trimEnd(),
    '',
    '## A worked example',
    '',
    'In the configuration:',
    '',
    '```yaml',
    'feeds:',
    ...feedText
      .trimEnd()
      .split('\n')
      .map((line, index) => `${index === 0 ? '  - ' : '    '}${line}`),
    '```',
    '',
    `A message of it (\`connectors/${name}/example/${messageFile}\`):`,
    '',
    '```',
    ...shownMessage(content),
    '```',
    '',
    'becomes (what is null or empty is left out):',
    '',
    '```yaml',
    stringify(
      events.map(({ domain, body }) => ({ [domain]: stated(body) })),
      { lineWidth: 120 },
    ).trimEnd(),
    '```',
    '',
    '## Settings',
    '',
    'Beside `name`, `hospital` and `connector`, which [every feed](../configuration.md) has:',
    '',
    '| Setting | Form | Default | Meaning |',
    '|---|---|---|---|',
    ...rowsOfSettings,
    '',
  ].join('\n')
}

/** Text as text, with control characters shown; other bytes as a dump of their beginning. */
function shownMessage(content) {
  try {
    const { text } = decode(content)
    if (!/[\0-\x08\x0e-\x1f]{4}/.test(text)) return text.trimEnd().split(/\r\n|\r|\n/)
  } catch {
    // bytes
  }
  const lines = []
  for (let at = 0; at < Math.min(content.length, 256); at += 16) {
    const part = content.subarray(at, at + 16)
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`${hex.padEnd(48)} ${part.toString('latin1').replace(/[^\x20-\x7e]/g, '.')}`)
  }
  return content.length > 256 ? [...lines, `… ${content.length} bytes`] : lines
}

/** Without what is null, empty or false; times as ISO 8601 in UTC. */
function stated(value, key = '') {
  if (Array.isArray(value)) return value.map((item) => stated(item))
  if (typeof value === 'number' && (key.endsWith('At') || key === 'messageTime')) return new Date(value).toISOString()
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value)
    .filter(([, member]) => member !== null && member !== '' && member !== false)
    .filter(([, member]) => !Array.isArray(member) || member.length > 0)
  return Object.fromEntries(members.map(([name, member]) => [name, stated(member, name)]))
}

mkdirSync(join(docs, 'connectors'), { recursive: true })
const stale = []
for (const [name, text] of [
  ['errors.md', errorsPage()],
  ['configuration.md', configurationPage()],
  ...[...connectors].map(([name, connector]) => [`connectors/${name}.md`, connectorPage(name, connector)]),
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
