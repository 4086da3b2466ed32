import { mkdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { startStatusServer, type Readiness } from '../api/status-server.js'
import { loadCatalogue, type Catalogue } from '../catalogue/catalogue.js'
import type { Parser, Receiver } from '../connectors/connector.js'
import { systemClock } from '../core/clock.js'
import { readCertificates } from '../core/certificates.js'
import { aes256GcmCipher, type PayloadCipher } from '../core/crypto.js'
import { UsageError } from '../core/errors.js'
import { readPemFile } from '../core/pem.js'
import { createLogger, Metrics, type Logger } from '../core/telemetry.js'
import { openEmbeddedLog } from '../log/embedded-log.js'
import type { EventLog } from '../log/event-log.js'
import { realFileSystem, type FileSystem } from '../log/file-system.js'
import { openKafkaLog, type KafkaLogOptions } from '../log/kafka-log.js'
import { folderObjectStore } from '../log/object-store.js'
import type { RawOutlet } from '../log/raw-outlet.js'
import type { Spool } from '../log/spool.js'
import { openSpool } from '../log/spool-store.js'
import { allTopics, contentOf, lanes, type Lane } from '../log/topics.js'
import { openUplink, type Uplink } from '../log/uplink.js'
import { viewOf } from '../log/view-file-system.js'
import { archiveStage } from '../pipelines/archive.js'
import type { ContentStores } from '../pipelines/content.js'
import { forward } from '../pipelines/forward.js'
import { HeldFeeds } from '../pipelines/held-feeds.js'
import { LiveFirst } from '../pipelines/live-first.js'
import { logOutlet } from '../pipelines/log-outlet.js'
import { normaliseStage } from '../pipelines/normalise.js'
import { parseStage } from '../pipelines/parse.js'
import { receive } from '../pipelines/receive.js'
import { sinkStage, type SettledEvent } from '../pipelines/sink.js'
import { besideLive, groupOf, runStage, type Stage } from '../pipelines/stage.js'
import { openActivationGate } from '../services/acceptance/activation-gate.js'
import { openWatch } from '../services/watch/watch.js'
import { headerTime } from '../services/watch/header-time.js'
import { openArchive } from '../repository/archive.js'
import { deadLetterSink } from '../repository/dead-letters.js'
import { eventSink } from '../repository/event-sink.js'
import type { Database } from '../repository/database.js'
import { openCodec, type EventCodec } from '../schemas/codec.js'
import { registerSchemas } from '../schemas/compatibility.js'
import type { Configuration, Connectors } from './config.js'
import type { Role } from './config-schema.js'
import { runGateway } from './gateway-role.js'
import { readingHash } from './feed-hash.js'
import { feedStates, type FeedStates } from './feed-states.js'
import { lateLink, linkless, type LateLink, type Link } from './late-link.js'
import { openRepository } from './repository-access.js'
import { certificateRole, uplinkOf } from './uplink-role.js'
import type { RunHealth } from './supervise/health.js'

export interface RuntimeOptions {
  readonly configuration: Configuration
  readonly connectors: Connectors
  readonly roles: readonly Role[]
  /** False: the receive role opens the spool and forwards it, but no feed listens (default true). */
  readonly listen?: boolean
  /** Parses feeds that the configuration does not name (replay); such a feed's messages are dead letters otherwise. */
  readonly parserForUnknown?: (feed: string, connector: string) => Parser | undefined
  /** Hospital and connector of feeds that the configuration does not name (replay). */
  readonly identityOfUnknown?: (feed: string) => { readonly hospital: string; readonly connector: string }
  /** Forward everything in this lane (backfill). */
  readonly forwardLane?: Lane
  readonly settled?: (events: readonly SettledEvent[]) => void
  readonly accepted?: (message: { readonly feed: string; readonly epoch: number; readonly seq: number }) => void
  readonly logger?: Logger
  /** Of what an edge is told by its gateway (default en). */
  readonly language?: 'zh' | 'en'
  /** Told once a feed can be reached. */
  readonly listening?: (feed: string, address: AddressInfo) => void
  /** Told once edges can reach the gateway. */
  readonly gatewayListening?: (port: number) => void
  /** A spool of its own, beside that of the receivers: its folder, and above which its epochs begin. */
  readonly spool?: { readonly dir: string; readonly epochsFrom: number }
  /** Where the spool writes (default: the operating system's files). */
  readonly spoolFileSystem?: FileSystem
}

/** The parts a process of this configuration is made of, opened; `run` composes its roles out of them. */
export interface Runtime {
  readonly log: EventLog
  readonly codec: EventCodec
  readonly metrics: Metrics
  readonly logger: Logger
  readonly stores: ContentStores
  /** Where this process receives. */
  readonly spool?: Spool
  /** Where this process writes to or reads from the repository. */
  readonly database?: Database
  /** How it is now, for a supervisor. */
  health(): Promise<RunHealth>
  /** Runs all roles until `signal` aborts; rejects with the first failure of any. */
  run(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Opens what the roles need. @throws UsageError | RetryableError saying which part is not there */
export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { configuration, roles } = options
  const logger =
    options.logger ?? createLogger({ level: String(configuration.logLevel ?? 'info'), role: roles.join(',') })
  const metrics = new Metrics()
  const dataDir = configuration.dataDir ?? '.hutong'
  await mkdir(dataDir, { recursive: true })
  const has = (role: Role): boolean => roles.includes(role)
  const ciphers = ciphersOf(configuration)
  const writeCipher = configuration.encryption === undefined ? undefined : ciphers.get(configuration.encryption.keyId)
  const stores: ContentStores = {
    objects: folderObjectStore(join(dataDir, 'objects')),
    cipher: (keyId) => ciphers.get(keyId),
    ...(writeCipher !== undefined && { writeCipher }),
  }

  const closing: (() => Promise<void>)[] = []
  const opened = async <T extends { close(): Promise<void> }>(part: Promise<T>): Promise<T> => {
    const value = await part
    closing.unshift(() => value.close())
    return value
  }
  try {
    const open = (): Promise<Link> => openLink(configuration, dataDir, logger)
    const uplink = configuration.uplink === undefined ? undefined : await uplinkOf(configuration.uplink, dataDir)
    // What only takes messages needs the event log for nothing but appending: others hold them while it is away.
    const onlyTakes = roles.every((role) => role === 'receive' || role === 'gateway')
    const late = configuration.kafka !== undefined && onlyTakes ? lateLink(open, logger) : undefined
    const { log, codec } = uplink !== undefined ? linkless(await openCodec()) : (late ?? (await open()))
    closing.unshift(() => log.close())
    const { environment } = configuration
    const { language = 'en' } = options
    const line = uplink === undefined ? undefined : openUplink({ ...uplink, environment, codec, metrics, language })
    if (line !== undefined) closing.unshift(() => line.close())
    const outlet = line ?? logOutlet(log, codec)
    const spool = has('receive') ? await opened(openSpoolOf(options, dataDir, writeCipher, ciphers)) : undefined
    const asksForActivation = has('parse') && configuration.environment === 'production'
    const needsDatabase = has('sink') || has('archive') || has('watch') || asksForActivation
    const database = needsDatabase ? await opened(openRepository(configuration)) : undefined
    const opens = { log, codec, metrics, logger, stores, spool, database }
    const states = feedStates(has('receive') ? configuration.feeds.map(({ name }) => name) : [])
    const parts = { ...opens, states, outlet, uplink: line, heldFeeds: new HeldFeeds() }
    const keep =
      uplink === undefined || line === undefined ? undefined : certificateRole(uplink, line, { metrics, logger })
    return {
      ...withoutUndefined(opens),
      health: () => healthNow(parts),
      run: (signal) => runRoles(parts, options, signal, late, keep),
      async close() {
        for (const close of closing) await close()
      },
    }
  } catch (error) {
    for (const close of closing) await close().catch(() => undefined)
    throw error
  }
}

async function openLink(configuration: Configuration, dataDir: string, logger: Logger): Promise<Link> {
  const log = await openLog(configuration, dataDir, logger)
  try {
    const codec = await openCodecOf(configuration)
    // One process has nobody to share partitions with: one is the fullest batch.
    await log.ensureTopics(allTopics, configuration.kafka === undefined ? 1 : (configuration.kafka.partitions ?? 3))
    return { log, codec }
  } catch (error) {
    await log.close().catch(() => undefined)
    throw error
  }
}

type Parts = Omit<Runtime, 'run' | 'close' | 'health' | 'spool' | 'database'> & {
  readonly states: FeedStates
  readonly outlet: RawOutlet
  readonly uplink: Uplink | undefined
  readonly heldFeeds: HeldFeeds
  readonly spool: Spool | undefined
  readonly database: Database | undefined
}

async function runRoles(
  parts: Parts,
  options: RuntimeOptions,
  signal: AbortSignal,
  late: LateLink | undefined,
  keepCertificate: ((signal: AbortSignal) => Promise<void>) | undefined,
): Promise<void> {
  const stop = new AbortController()
  const until = AbortSignal.any([signal, stop.signal])
  const stages = stagesOf(parts, options)
  const liveFirst = new LiveFirst()
  const receivers = openReceivers(options, parts, until)
  const status = await startStatus(parts, options, stages, receivers)
  const work = [
    ...(late === undefined ? [] : [late.connect(until)]),
    ...(keepCertificate === undefined ? [] : [keepCertificate(until)]),
    ...stages.map((stage) => runStage(stage, { ...parts, liveFirst }, until)),
    ...watchRole(parts, options, until),
    ...(parts.spool === undefined ? [] : receiveRole(parts, parts.spool, receivers, options, until)),
    ...(options.roles.includes('gateway') ? [runGateway(parts, options, until)] : []),
  ]
  parts.logger.info({ roles: options.roles, feeds: options.configuration.feeds.map((feed) => feed.name) }, 'running')
  try {
    await Promise.all(
      work.map((part) =>
        part.catch((error: unknown) => {
          stop.abort()
          throw error
        }),
      ),
    )
  } finally {
    stop.abort()
    await Promise.allSettled(work)
    await status?.close()
  }
}

function stagesOf(parts: Parts, options: RuntimeOptions): Stage[] {
  const { roles, configuration } = options
  const { log, codec, metrics, logger, stores, database } = parts
  // One of each per process: they keep dictionaries and blocks of numbers.
  const archive = database === undefined ? undefined : openArchive(database)
  const events = database === undefined ? undefined : eventSink(database)
  const letters = database === undefined ? undefined : deadLetterSink(database)
  const concurrency = database?.kind === 'postgresql' ? 2 : 1
  const parserFor = parsersOf(options)
  const release = { catalogue: catalogueOf(configuration), derivation: configuration.catalogue?.release ?? 1 }
  const now = (): number => systemClock.now()
  // A process that sends what it has and ends has no live traffic to protect.
  const isBeside = configuration.bulk?.recordsPerSecond !== undefined || options.listen !== false
  const budget = isBeside ? { recordsPerSecond: 500, busyShare: 0.2, ...configuration.bulk } : undefined
  const isActivated =
    configuration.environment === 'production' && database !== undefined ? openActivationGate(database, now) : undefined
  const stages: Stage[] = []
  for (const lane of lanes) {
    const add = (stage: Stage): void => {
      stages.push(lane === 'bulk' && budget !== undefined ? besideLive(stage, budget) : stage)
    }
    if (roles.includes('parse')) {
      add(
        parseStage(lane, { log, codec, stores, parserFor, metrics, ...(isActivated !== undefined && { isActivated }) }),
      )
    }
    if (roles.includes('normalise')) add(normaliseStage(lane, { log, codec, metrics, release: () => release }))
    if (archive === undefined || events === undefined || letters === undefined) continue
    if (roles.includes('sink')) {
      const { settled } = options
      add(
        sinkStage(lane, {
          events,
          letters,
          concurrency,
          codec,
          metrics,
          logger,
          now,
          ...(settled !== undefined && { settled }),
        }),
      )
    }
    if (roles.includes('archive')) add(archiveStage(lane, { archive, codec, metrics }))
  }
  return stages
}

function openReceivers(
  options: RuntimeOptions,
  { logger, states }: Parts,
  signal: AbortSignal,
): ReadonlyMap<string, Receiver> {
  const receivers = new Map<string, Receiver>()
  if (!options.roles.includes('receive') || options.listen === false) return receivers
  for (const feed of options.configuration.feeds) {
    const connector = options.connectors.get(feed.connector)
    if (connector === undefined) throw new UsageError(`feed ${feed.name}: unknown connector ${feed.connector}`)
    const receiver = connector.receive(feed.settings as never, signal)
    receivers.set(feed.name, receiver)
    if (receiver.listening === undefined) states.listens(feed.name)
    receiver.listening?.then(
      (address) => {
        logger.info({ feed: feed.name, port: address.port }, 'listening')
        states.listens(feed.name)
        options.listening?.(feed.name, address)
      },
      // The same failure ends the receiver's deliveries, and with them the process.
      () => undefined,
    )
  }
  return receivers
}

function receiveRole(
  parts: Parts,
  spool: Spool,
  receivers: ReadonlyMap<string, Receiver>,
  options: RuntimeOptions,
  signal: AbortSignal,
): Promise<void>[] {
  const { outlet, metrics, logger, stores, heldFeeds, states } = parts
  const { feeds, environment, uplink } = options.configuration
  const byName = new Map(feeds.map((feed) => [feed.name, feed]))
  const identity = (feed: string): { hospital: string; connector: string } => {
    const known = byName.get(feed) ?? options.identityOfUnknown?.(feed)
    if (known === undefined) {
      throw new UsageError(
        `the spool holds messages of feed ${feed}, which the configuration does not name: add it back`,
      )
    }
    return known
  }
  const { forwardLane: lane, accepted } = options
  const now = (): number => systemClock.now()
  const forwarding = {
    spool,
    outlet,
    stores,
    environment,
    identity,
    logger,
    now,
    heldFeeds,
    damaged: (name: string) => metrics.spoolDamaged.inc({ feed: name }),
    ...(lane !== undefined && { lane }),
    ...(uplink?.bytesPerSecond !== undefined && { batchBytesMax: cappedBatchBytes(uplink.bytesPerSecond) }),
  }
  return [
    forward(forwarding, signal),
    ...[...receivers].map(([feed, deliveries]) =>
      receive({
        ...{ feed, deliveries, spool, metrics, logger },
        accepted: (position) => {
          states.accepted(feed, now())
          accepted?.(position)
        },
      }),
    ),
  ]
}

function watchRole(parts: Parts, options: RuntimeOptions, signal: AbortSignal): Promise<void>[] {
  const { database: db, metrics, logger, stores } = parts
  if (db === undefined || !options.roles.includes('watch')) return []
  const { configuration } = options
  const { environment, feeds } = configuration
  const config = configuration.watch ?? {}
  const messageTime = headerTime(stores)
  const watch = openWatch({
    db,
    config,
    environment,
    feeds: feeds.map((feed) => ({
      name: feed.name,
      hospital: feed.hospital,
      configurationSha256: readingHash(feed),
    })),
    messageTime,
    metrics,
    logger,
    now: () => systemClock.now(),
  })
  return [watch.run(signal)]
}

/** A batch on a narrow line goes in about 20 s, so that little is sent twice when the line breaks. */
const cappedBatchBytes = (bytesPerSecond: number): number =>
  Math.max(64 * 1024, Math.min(4 * 1024 * 1024, bytesPerSecond * 20))

/** The parser of each feed, compiled once. */
export function parsersOf(
  options: Pick<RuntimeOptions, 'configuration' | 'connectors' | 'parserForUnknown'>,
): (feed: string, connector: string) => Parser | undefined {
  const byFeed = new Map<string, Parser>()
  for (const feed of options.configuration.feeds) {
    const connector = options.connectors.get(feed.connector)
    if (connector !== undefined) byFeed.set(feed.name, connector.parser(feed.settings as never))
  }
  return (feed, connector) => byFeed.get(feed) ?? options.parserForUnknown?.(feed, connector)
}

async function startStatus(
  parts: Parts,
  options: RuntimeOptions,
  stages: readonly Stage[],
  receivers: ReadonlyMap<string, Receiver>,
): Promise<{ close(): Promise<void> } | undefined> {
  const { http } = options.configuration
  if (http === undefined) return undefined
  const server = await startStatusServer({
    host: http.host ?? '127.0.0.1',
    port: http.port,
    metrics: parts.metrics,
    collect: () => collectGauges(parts, stages, receivers),
    readiness: () => readinessOf(parts, stages),
  })
  parts.logger.info({ port: server.port }, 'metrics and health')
  return server
}

async function collectGauges(
  parts: Parts,
  stages: readonly Stage[],
  receivers: ReadonlyMap<string, Receiver>,
): Promise<void> {
  const { metrics, spool, log, heldFeeds } = parts
  metrics.feedHeld.reset()
  for (const { feed, code } of heldFeeds.list()) metrics.feedHeld.set({ feed, code }, 1)
  if (spool !== undefined) {
    const statistics = spool.statistics()
    metrics.spoolDepth.set(statistics.depth)
    metrics.spoolDepthBytes.set(statistics.depthBytes)
    metrics.spoolDisk.set(statistics.diskBytes)
    metrics.spoolAccepting.set(statistics.accepting ? 1 : 0)
    const oldest = statistics.oldestUnforwardedAt
    metrics.spoolAge.set(oldest === null ? 0 : Math.max(0, systemClock.now() - oldest) / 1000)
  }
  for (const [feed, receiver] of receivers) {
    for (const [counter, value] of Object.entries(
      (receiver.stats?.() ?? {}) as Record<string, number | Record<string, number>>,
    )) {
      const byReason = typeof value === 'number' ? { '': value } : value
      for (const [reason, count] of Object.entries(byReason)) metrics.receiver.set({ feed, counter, reason }, count)
    }
  }
  for (const stage of stages) {
    const group = groupOf(stage)
    for (const { topic, partition, lag } of await log.positions(group, stage.topics)) {
      metrics.lag.set({ group, topic, partition: String(partition) }, Number(lag))
    }
  }
}

async function healthNow(parts: Parts): Promise<RunHealth> {
  const { spool, metrics, states } = parts
  const { ready, parts: found } = await readinessOf(parts, [])
  const statistics = spool?.statistics()
  const oldest = statistics?.oldestUnforwardedAt ?? null
  const tried = (await metrics.uplinkRequests.get()).values.length > 0
  return {
    kind: 'health',
    ready,
    notReady: Object.keys(found).filter((name) => found[name] !== 'ok'),
    spool:
      statistics === undefined
        ? null
        : {
            messages: statistics.depth,
            bytes: statistics.depthBytes,
            oldestSeconds: oldest === null ? 0 : Math.max(0, Math.round((systemClock.now() - oldest) / 1000)),
            accepting: statistics.accepting,
          },
    uplinkAccepted: tried ? (await metrics.uplinkAccepted.get()).values[0]?.value === 1 : null,
    feeds: [...states.all()],
  }
}

async function readinessOf(parts: Parts, stages: readonly Stage[]): Promise<Readiness> {
  const probe = async (work: () => Promise<unknown>): Promise<string> => {
    try {
      await work()
      return 'ok'
    } catch (error) {
      return (error as Error).message
    }
  }
  const { spool, database, log, uplink, heldFeeds } = parts
  const states: Record<string, string> = {}
  if (spool !== undefined) states.spool = spool.statistics().accepting ? 'ok' : 'disk full: not acknowledging'
  if (uplink !== undefined) states.uplink = uplink.problem ?? 'ok'
  for (const { feed, sentence } of heldFeeds.list()) states[`feed ${feed}`] = sentence
  const first = stages[0]
  if (first !== undefined) states.log = await probe(() => log.positions(groupOf(first), first.topics.slice(0, 1)))
  if (database !== undefined) states.repository = await probe(() => database.transaction((tx) => tx.query('SELECT 1')))
  return { ready: Object.values(states).every((state) => state === 'ok'), parts: states }
}

/** How the brokers of a configuration are reached; undefined for the embedded log. @throws UsageError for files of no use */
export function kafkaOptionsOf(configuration: Configuration): KafkaLogOptions | undefined {
  const { kafka } = configuration
  if (kafka === undefined) return undefined
  const { tls, username, password, sessionTimeoutMs } = kafka
  return {
    brokers: kafka.brokers,
    prefix: prefixOf(configuration),
    clientId: 'hutong',
    ...(sessionTimeoutMs !== undefined && { sessionTimeoutMs }),
    ...(tls === true && { ssl: kafkaCertificates(kafka) }),
    ...(username !== undefined && { sasl: { mechanism: 'scram-sha-512', username, password: password ?? '' } }),
  }
}

function kafkaCertificates({ caFile, certFile, keyFile }: NonNullable<Configuration['kafka']>): {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
} {
  const ca = caFile === undefined ? undefined : readCertificates('kafka.caFile', caFile)
  if (certFile === undefined || keyFile === undefined) return withoutUndefined({ ca })
  const cert = readCertificates('kafka.certFile', certFile)
  const key = readPemFile('kafka.keyFile', keyFile)
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new UsageError(`kafka.keyFile: ${keyFile} is not the key of ${certFile}, or is no key in PEM`, { cause })
  }
  return withoutUndefined({ ca, cert, key })
}

function openLog(configuration: Configuration, dataDir: string, logger: Logger): Promise<EventLog> {
  const options = kafkaOptionsOf(configuration)
  if (options === undefined) {
    const retention = { maxAgeMs: 7 * 86_400_000, maxBytes: 20 * 1024 ** 3 }
    return openEmbeddedLog({ dir: join(dataDir, 'log'), retention })
  }
  return openKafkaLog({ ...options, logger })
}

/** Topic prefix of a configuration: topics and registry subjects stand under it. */
export const prefixOf = ({ kafka, environment }: Pick<Configuration, 'kafka' | 'environment'>): string =>
  kafka?.prefix ?? `hutong.${environment}`

/** Every topic with what it carries, for the registry. */
export const topicContents = allTopics.map((topic) => ({ topic, event: contentOf(topic) }))

function openCodecOf(configuration: Configuration): Promise<EventCodec> {
  const { schemaRegistry } = configuration
  if (schemaRegistry === undefined) return openCodec()
  return openCodec({ registryUrl: schemaRegistry.url, prefix: prefixOf(configuration), topics: topicContents })
}

/**
 * Registers today's schemas where the environment is a test one, so that trying needs no extra step. Production is left
 * to `hutong schemas register`. @throws UsageError where the registry refuses
 */
export async function ensureSchemas(configuration: Configuration): Promise<void> {
  const { schemaRegistry, environment } = configuration
  if (schemaRegistry === undefined || environment !== 'test') return
  const { violations } = await registerSchemas(schemaRegistry.url, prefixOf(configuration), topicContents)
  const first = violations[0]
  if (first !== undefined) throw new UsageError(`${first.subject} ${first.path}: ${first.problem}; ${first.remedy}`)
}

/** The spool of a configuration as it is now, to read from it; another process may hold it, and nothing of it changes. */
export function openSpoolToRead(configuration: Configuration): Promise<Spool> {
  const ciphers = ciphersOf(configuration)
  const { keyId } = configuration.encryption ?? {}
  const cipher = keyId === undefined ? undefined : ciphers.get(keyId)
  const view = { configuration, spoolFileSystem: viewOf(realFileSystem) }
  return openSpoolOf(view, configuration.dataDir ?? '.hutong', cipher, ciphers)
}

function openSpoolOf(
  { configuration, spoolFileSystem, spool }: Pick<RuntimeOptions, 'configuration' | 'spoolFileSystem' | 'spool'>,
  dataDir: string,
  cipher: PayloadCipher | undefined,
  ciphers: ReadonlyMap<string, PayloadCipher>,
): Promise<Spool> {
  const { retentionDays = 14, retentionMegabytes = 20_480, diskReserveMegabytes = 512 } = configuration.spool ?? {}
  return openSpool({
    dir: spool?.dir ?? join(dataDir, 'spool'),
    ...(spool !== undefined && { epochsFrom: spool.epochsFrom }),
    environment: configuration.environment,
    clock: systemClock,
    retention: { maxAgeMs: retentionDays * 86_400_000, maxBytes: retentionMegabytes * 1024 * 1024 },
    diskReserveBytes: diskReserveMegabytes * 1024 * 1024,
    ...(spoolFileSystem !== undefined && { fileSystem: spoolFileSystem }),
    ...(cipher !== undefined && { payloadCipher: cipher, ciphers: (keyId: string) => ciphers.get(keyId) }),
  })
}

export function catalogueOf(configuration: Configuration): Catalogue {
  return loadCatalogue({ mappingFiles: configuration.catalogue?.mappings ?? [] })
}

/** The keys of a configuration, by id. */
export function ciphersOf(configuration: Configuration): Map<string, PayloadCipher> {
  return new Map(
    Object.entries(configuration.encryption?.keys ?? {}).map(([keyId, key]) => [
      keyId,
      aes256GcmCipher(keyId, Buffer.from(key, 'base64')),
    ]),
  )
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as never
}
