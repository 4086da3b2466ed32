import { readFile } from 'node:fs/promises'
import { Type, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { LineCounter, isMap, isPair, isSeq, parseDocument, type Document, type Node } from 'yaml'
import type { Connector } from '../connectors/connector.js'
import { UsageError } from '../core/errors.js'
import { nearest } from '../core/nearest.js'
import { watchFaults, type WatchConfig } from '../services/watch/config.js'
import { deploymentConfig, feedFrame, roleProblem, type DeploymentConfig } from './config-schema.js'

/** One fault of a configuration file, with its line (from 1) and what to do. */
export interface ConfigProblem {
  readonly line: number
  readonly path: string
  readonly message: string
}

export interface FeedConfig {
  readonly name: string
  readonly hospital: string
  readonly connector: string
  /** The connector's own settings, defaults filled in. */
  readonly settings: Record<string, unknown>
}

export interface Configuration extends Omit<DeploymentConfig, 'feeds'> {
  readonly feeds: readonly FeedConfig[]
}

export type Connectors = ReadonlyMap<string, Connector<TSchema>>
export type Checked = { readonly problems: readonly ConfigProblem[]; readonly configuration?: Configuration }

/** Reads and checks a configuration file. @throws UsageError naming every problem with its line */
export async function loadConfiguration(
  file: string,
  connectors: Connectors,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<Configuration> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
  const { problems, configuration } = checkConfiguration(text, connectors, variables)
  if (configuration === undefined) {
    throw new UsageError(
      [`${file} has ${problems.length} problem(s):`, ...problems.map((p) => formatProblem(file, p))].join('\n'),
    )
  }
  return configuration
}

export const formatProblem = (file: string, problem: ConfigProblem): string =>
  `${file}:${problem.line}: ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`

/** Checks a whole configuration and reports all problems together; `configuration` is there when there are none. */
export function checkConfiguration(
  text: string,
  connectors: Connectors,
  variables: Readonly<Record<string, string | undefined>>,
): Checked {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  if (document.errors.length > 0) {
    return {
      problems: document.errors.map((error) => ({
        line: error.linePos?.[0].line ?? 1,
        path: '',
        message: `not YAML: ${error.message.split('\n')[0] ?? ''}`,
      })),
    }
  }
  const problems: ConfigProblem[] = []
  const report = (path: string, message: string): void => {
    problems.push({ line: lineOf(document, path, lines), path: dotted(path), message })
  }
  const source = expand(document.toJS() as unknown, '', variables, report)
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    return { problems: [{ line: 1, path: '', message: 'the file must hold a mapping with environment and feeds' }] }
  }
  checkAgainst(deploymentConfig, source, '', report)
  const rawFeeds = (source as { feeds?: unknown }).feeds
  const feeds = Array.isArray(rawFeeds)
    ? rawFeeds.map((feed, index) => checkFeed(feed, `/feeds/${index}`, connectors, report))
    : []
  // only what has the right form can be checked further
  const formed = problems.length === 0
  checkWhole(source as Partial<DeploymentConfig>, feeds, report)
  if (formed) checkWatch((source as Partial<DeploymentConfig>).watch, feeds, report)
  if (problems.length > 0) return { problems: problems.sort((a, b) => a.line - b.line) }
  const filled = Value.Default(deploymentConfig, source) as DeploymentConfig
  return { problems, configuration: { ...filled, feeds: feeds.filter((feed) => feed !== undefined) } }
}

type Report = (path: string, message: string) => void

function checkFeed(feed: unknown, path: string, connectors: Connectors, report: Report): FeedConfig | undefined {
  if (typeof feed !== 'object' || feed === null || Array.isArray(feed)) {
    report(path, 'a feed is a mapping with name, hospital, connector and the settings of the connector')
    return undefined
  }
  const { name, hospital, connector: kind, ...settings } = feed as Record<string, unknown>
  const connector = typeof kind === 'string' ? connectors.get(kind) : undefined
  if (connector === undefined) {
    checkAgainst(Type.Object(feedFrame), feed, path, report)
    if (typeof kind === 'string') report(`${path}/connector`, unknownName('connector', kind, connectors.keys()))
    return undefined
  }
  const properties = (connector.config as unknown as { properties: Record<string, TSchema> }).properties
  const whole = Type.Object({ ...feedFrame, ...properties }, { additionalProperties: false })
  checkAgainst(whole, feed, path, report)
  const filled = Value.Default(connector.config, Value.Clone(settings)) as Record<string, unknown>
  if (connector.problems !== undefined && Value.Check(connector.config, filled)) {
    for (const { setting, message } of connector.problems(filled)) report(`${path}/${setting}`, message)
  }
  return { name: String(name), hospital: String(hospital), connector: connector.name, settings: filled }
}

function checkWhole(
  source: Partial<DeploymentConfig>,
  feeds: readonly (FeedConfig | undefined)[],
  report: Report,
): void {
  const seen = new Map<string, number>()
  for (const [index, feed] of feeds.entries()) {
    if (feed === undefined) continue
    const before = seen.get(feed.name)
    if (before !== undefined)
      report(`/feeds/${index}/name`, `feed name ${feed.name} is taken by feed ${before + 1}; names are unique`)
    seen.set(feed.name, before ?? index)
  }
  if (source.kafka !== undefined && source.schemaRegistry === undefined) {
    report('/kafka', 'with Kafka a schema registry is needed: add schemaRegistry: {url: …}')
  }
  if (source.kafka !== undefined && source.database === undefined && source.environment === 'production') {
    report(
      '/kafka',
      'production on Kafka needs PostgreSQL: add database: {url: …}; the embedded database is for demo and tests',
    )
  }
  if (source.uplink !== undefined && source.kafka !== undefined) {
    report('/uplink', 'a process forwards to the gateway or to Kafka: leave out uplink or kafka')
  }
  checkCertificates(source, report)
  checkKafkaFiles(source, report)
  const names = feeds.flatMap((feed) => (feed === undefined ? [] : [feed.name]))
  for (const name of Object.keys(source.acceptance?.kinds ?? {})) {
    if (!names.includes(name)) report(`/acceptance/kinds/${name}`, unknownName('feed', name, names))
  }
  if (Array.isArray(source.roles)) {
    const problem = roleProblem(source.roles, source)
    if (problem !== undefined) report('/roles', problem)
  }
  const { bodyMegabytesMax = 64, inFlightMegabytesMax = 256 } = source.gateway ?? {}
  if (inFlightMegabytesMax < 2 * bodyMegabytesMax) {
    report(
      source.gateway?.inFlightMegabytesMax === undefined
        ? '/gateway/bodyMegabytesMax'
        : '/gateway/inFlightMegabytesMax',
      `inFlightMegabytesMax must be at least twice bodyMegabytesMax (${bodyMegabytesMax}), or the largest batch never passes`,
    )
  }
  const encryption = source.encryption
  if (encryption !== undefined && typeof encryption.keys === 'object' && !(encryption.keyId in encryption.keys)) {
    report('/encryption/keyId', unknownName('key', encryption.keyId, Object.keys(encryption.keys)))
  }
}

function checkKafkaFiles({ kafka }: Partial<DeploymentConfig>, report: Report): void {
  if (kafka === undefined || kafka === null) return
  const named = (['caFile', 'certFile', 'keyFile'] as const).filter((name) => kafka[name] !== undefined)
  if (named.length > 0 && kafka.tls !== true) {
    report(`/kafka/${named[0]}`, 'is of no use without tls: true, and the brokers would be spoken to in the clear')
  }
  if ((kafka.certFile === undefined) !== (kafka.keyFile === undefined)) {
    report('/kafka', 'certFile and keyFile belong together')
  }
}

function checkCertificates({ uplink, gateway }: Partial<DeploymentConfig>, report: Report): void {
  if (uplink !== undefined && uplink !== null) {
    const own = (['url', 'caFile', 'certFile', 'keyFile'] as const).filter((name) => uplink[name] !== undefined)
    const isEnrolled = own.every((name) => name === 'url')
    if (!isEnrolled && own.length < 4) {
      report(
        '/uplink',
        'url, caFile, certFile and keyFile belong together; leave them all out on an edge that was enrolled',
      )
    }
  }
  if (gateway === undefined || gateway === null) return
  if (gateway.clientCaFile === undefined && gateway.authority === undefined) {
    report('/gateway', 'who edges are known by is missing: add authority: {certFile, keyFile} or clientCaFile')
  }
  if (gateway.crlFile !== undefined && gateway.clientCaFile === undefined && gateway.authority === undefined) {
    report('/gateway/crlFile', 'a list of revoked certificates needs the authority that signed it: add clientCaFile')
  }
}

function checkWatch(watch: WatchConfig | undefined, feeds: readonly (FeedConfig | undefined)[], report: Report): void {
  if (watch === undefined) return
  for (const { path, message } of watchFaults(watch)) report(`/watch${path}`, message)
  const names = feeds.flatMap((feed) => (feed === undefined ? [] : [feed.name]))
  for (const name of Object.keys(watch.minimumVolumes ?? {})) {
    if (!names.includes(name)) report(`/watch/minimumVolumes/${name}`, unknownName('feed', name, names))
  }
  for (const part of ['routes', 'maintenance'] as const) {
    for (const [index, { feeds: named }] of (watch[part] ?? []).entries()) {
      for (const name of named ?? []) {
        if (!names.includes(name)) report(`/watch/${part}/${index}/feeds`, unknownName('feed', name, names))
      }
    }
  }
}

function checkAgainst(schema: TSchema, value: unknown, base: string, report: Report): void {
  const told = new Set<string>()
  for (const error of Value.Errors(schema, value)) {
    const path = base + error.path
    if (told.has(path)) continue
    told.add(path)
    const owner = schemaAt(schema, error.path.split('/').slice(1, -1))
    const key = error.path.split('/').at(-1) ?? ''
    const known = Object.keys((owner as { properties?: object } | undefined)?.properties ?? {})
    if (error.message === 'Unexpected property') report(path, unknownName('setting', key, known))
    else if (error.value === undefined) report(path, `missing${describe(error.schema)}`)
    else report(path, `${expectation(error.schema)}, not ${JSON.stringify(error.value)}`)
  }
}

function schemaAt(schema: TSchema, path: readonly string[]): unknown {
  let at: unknown = schema
  for (const key of path) {
    const { properties, items } = (at ?? {}) as { properties?: Record<string, unknown>; items?: unknown }
    at = properties?.[key] ?? items
  }
  return at
}

const describe = (schema: TSchema): string => (schema.description === undefined ? '' : `: ${schema.description}`)

function expectation(schema: TSchema): string {
  const choices = (schema.anyOf as { const?: unknown }[] | undefined)
    ?.map((choice) => choice.const)
    .filter((choice) => choice !== undefined)
  if (choices !== undefined && choices.length > 0) return `must be one of ${choices.join(', ')}`
  const bounds = [
    schema.minimum !== undefined && `at least ${schema.minimum}`,
    schema.maximum !== undefined && `at most ${schema.maximum}`,
    schema.minLength !== undefined && schema.minLength > 0 && 'not empty',
    schema.minItems !== undefined && `at least ${schema.minItems} entry`,
    schema.pattern !== undefined && `matching ${schema.pattern}`,
  ].filter((bound) => bound !== false)
  return `must be ${schema.type ?? 'valid'}${bounds.length > 0 ? ` (${bounds.join(', ')})` : ''}`
}

function unknownName(kind: string, name: string, known: Iterable<string>): string {
  const list = [...known]
  const near = nearest(name, list)
  return `unknown ${kind} ${name}${near === undefined ? `; known: ${list.join(', ')}` : `; did you mean ${near}?`}`
}

/** Replaces ${NAME} in text values by the environment variable, so that no secret stands in the file. */
function expand(
  value: unknown,
  path: string,
  variables: Readonly<Record<string, string | undefined>>,
  report: Report,
): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, name: string) => {
      const found = variables[name]
      if (found === undefined) report(path, `the environment variable ${name} is not set`)
      return found ?? whole
    })
  }
  if (Array.isArray(value)) return value.map((entry, index) => expand(entry, `${path}/${index}`, variables, report))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [key, expand(entry, `${path}/${key}`, variables, report)]),
    )
  }
  return value
}

const dotted = (path: string): string =>
  path
    .split('/')
    .slice(1)
    .map((key) => (/^\d+$/.test(key) ? `[${key}]` : `.${key}`))
    .join('')
    .replace(/^\./, '')

/** The line of the node at a JSON pointer, or of the deepest ancestor that is there. */
function lineOf(document: Document, pointer: string, lines: LineCounter): number {
  let node: unknown = document.contents
  let offset = (node as Node | null)?.range?.[0] ?? 0
  for (const key of pointer.split('/').slice(1)) {
    let next: unknown
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String((item.key as { value?: unknown }).value) === key)
      if (pair === undefined) break
      offset = (pair.key as Node).range?.[0] ?? offset
      next = pair.value
    } else if (isSeq(node)) {
      next = node.items[Number(key)]
      offset = (next as Node | undefined)?.range?.[0] ?? offset
    }
    if (next === undefined || next === null) break
    node = next
  }
  return lines.linePos(offset).line
}
