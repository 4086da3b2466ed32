import { Type, type Static } from '@sinclair/typebox'
import { acceptanceConfig } from '../services/acceptance/config.js'
import { watchConfig } from '../services/watch/config.js'

const closed = { additionalProperties: false }
const optionalText = (description: string) => Type.Optional(Type.String({ description, minLength: 1 }))
const size = (description: string, value: number) =>
  Type.Optional(Type.Integer({ description, default: value, minimum: 1 }))

/** The way of a message from a sender to the repository. */
export const pipelineRoles = ['receive', 'parse', 'normalise', 'sink', 'archive'] as const
export const roles = [...pipelineRoles, 'gateway', 'watch'] as const
export type Role = (typeof roles)[number]

/** Everything of a deployment but the feeds' connector settings, which each connector declares itself. */
export const deploymentConfig = Type.Object(
  {
    environment: Type.Union([Type.Literal('production'), Type.Literal('test')], {
      description: 'production or test; part of feed, topic prefix and database. Never mix the two.',
    }),
    roles: Type.Optional(
      Type.Array(Type.Union(roles.map((role) => Type.Literal(role))), {
        description:
          'What this process does. Where left out: receive with an uplink; else all, gateway where that is configured. `--role` on the command line narrows it.',
        uniqueItems: true,
      }),
    ),
    dataDir: Type.Optional(
      Type.String({
        description: 'Folder for the spool, objects and embedded stores',
        default: '.hutong',
        minLength: 1,
      }),
    ),
    kafka: Type.Optional(
      Type.Object(
        {
          brokers: Type.Array(Type.String({ minLength: 1 }), { description: 'host:port of each broker', minItems: 1 }),
          prefix: optionalText('Before every topic name; hutong.<environment> where left out'),
          partitions: size('Partitions of a topic created here', 3),
          tls: Type.Optional(Type.Boolean({ description: 'Speak TLS to the brokers', default: false })),
          caFile: optionalText('CA certificates of the brokers, PEM file'),
          certFile: optionalText('Client certificate, PEM file'),
          keyFile: optionalText('Key of the client certificate, PEM file'),
          username: optionalText('SASL/SCRAM-SHA-512 user name'),
          password: optionalText('SASL password; write ${NAME} to take it from the environment'),
          sessionTimeoutMs: Type.Optional(
            Type.Integer({
              description:
                'A process that was not heard of for this long loses its partitions to another, ms; Kafka takes 6000 to 1800000 unless told otherwise. Shorter resumes sooner after a crash, longer bears longer pauses',
              default: 30_000,
              minimum: 1000,
            }),
          ),
        },
        { ...closed, description: 'Kafka; the embedded log of this process where left out' },
      ),
    ),
    schemaRegistry: Type.Optional(
      Type.Object(
        { url: Type.String({ description: 'Confluent-compatible API', minLength: 1 }) },
        { ...closed, description: 'Schema registry; needed with Kafka' },
      ),
    ),
    database: Type.Optional(
      Type.Object(
        {
          url: Type.String({
            description: 'postgresql://…; write ${NAME} to take it from the environment',
            minLength: 1,
          }),
        },
        {
          ...closed,
          description: 'PostgreSQL; the embedded database of this process where left out (demo and tests only)',
        },
      ),
    ),
    spool: Type.Optional(
      Type.Object(
        {
          retentionDays: size('Forwarded messages are kept this long, days', 14),
          retentionMegabytes: size('Forwarded messages are kept up to this size, MiB', 20_480),
          diskReserveMegabytes: size('Stop acknowledging when less than this is free on the disk, MiB', 512),
        },
        { ...closed, description: 'Store-and-forward beside the receivers' },
      ),
    ),
    encryption: Type.Optional(
      Type.Object(
        {
          keyId: Type.String({ description: 'Key that new messages are encrypted with', minLength: 1 }),
          keys: Type.Record(Type.String(), Type.String(), {
            description: 'Key id to 32 bytes in base64 (AES-256-GCM); write ${NAME} to take it from the environment',
          }),
        },
        { ...closed, description: 'Encryption of message bytes in spool, topics and archive' },
      ),
    ),
    uplink: Type.Optional(
      Type.Object(
        {
          url: Type.Optional(
            Type.String({
              description: 'https://host:port of the gateway; the one this edge was enrolled at where left out',
              pattern: '^https://[^/]+/?$',
            }),
          ),
          caFile: optionalText(
            'CA certificates that the gateway is known by, PEM file. Left out with certFile and keyFile: what `hutong enrol` put into dataDir, renewed by itself',
          ),
          certFile: optionalText(
            'Client certificate of this edge, followed by its intermediate certificates, PEM file',
          ),
          keyFile: optionalText('Key of the client certificate, PEM file'),
          proxy: Type.Optional(
            Type.String({
              description:
                'http://user:password@host:port of a proxy that allows CONNECT; write ${NAME} for the secret',
              pattern: '^http://[^/]+/?$',
            }),
          ),
          bytesPerSecond: Type.Optional(
            Type.Integer({ description: 'Bandwidth cap of compressed batches; none where left out', minimum: 1024 }),
          ),
        },
        {
          ...closed,
          description:
            'The way of a hospital to the province: over HTTPS to its gateway, instead of kafka. Role receive only',
        },
      ),
    ),
    gateway: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(Type.String({ description: 'Address to listen on', default: '0.0.0.0' })),
          port: Type.Integer({ description: 'Port of HTTPS with client certificates', minimum: 0, maximum: 65_535 }),
          certFile: Type.String({ description: "The gateway's certificate, PEM file", minLength: 1 }),
          keyFile: Type.String({ description: 'Key of the certificate, PEM file', minLength: 1 }),
          clientCaFile: optionalText(
            'Authorities of the client certificates beside that of authority, PEM file; needed without authority',
          ),
          crlFile: optionalText(
            'Certificates that the authorities of clientCaFile have revoked, PEM file (X509 CRL); read again when it changes',
          ),
          authority: Type.Optional(
            Type.Object(
              {
                certFile: Type.String({
                  description: 'Certificate of the authority, followed by those above it, PEM file',
                  minLength: 1,
                }),
                keyFile: Type.String({ description: 'Key of the authority, PEM file', minLength: 1 }),
                passphrase: optionalText('Of the key; write ${NAME} to take it from the environment'),
                edgeDays: size("Lifetime of an edge's certificate, days; renewed at two thirds of it", 90),
              },
              {
                ...closed,
                description: "Issues and renews the certificates of edges: of `hutong ca init`, or the province's own",
              },
            ),
          ),
          releaseKeyFiles: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description:
                'Ed25519 public keys, PEM files, told to edges when they enrol and renew: packages and configurations must be signed by one of them',
            }),
          ),
          bodyMegabytesMax: size('A larger batch, as sent or decoded, is refused, MiB; above the largest message', 64),
          inFlightMegabytesMax: size('Bytes of batches under way; more is refused with Retry-After, MiB', 256),
          requestTimeoutSeconds: size('A batch that has not arrived by then is refused, seconds', 300),
        },
        { ...closed, description: 'Takes the batches of edges (role gateway)' },
      ),
    ),
    fleet: Type.Optional(
      Type.Object(
        {
          reportEverySeconds: size(
            'An edge reports to the gateway this often, seconds; the gateway may say otherwise',
            60,
          ),
          probationSeconds: size('A new version or configuration is on trial for so long, seconds', 300),
          releaseKeyFiles: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description:
                'Edge: Ed25519 public keys, PEM files; packages and configurations must be signed by one of them. What `hutong enrol` brought where left out',
              minItems: 1,
            }),
          ),
          bytesPerSecond: Type.Optional(
            Type.Integer({
              description: "Edge: bandwidth cap of downloads; the uplink's where left out",
              minimum: 1024,
            }),
          ),
          releasesDir: optionalText(
            'Province: folder of published packages and configurations, one for `hutong fleet publish` and all gateways; <dataDir>/releases where left out',
          ),
        },
        { ...closed, description: 'Reports, packages and configurations between edges and the gateway' },
      ),
    ),
    http: Type.Optional(
      Type.Object(
        {
          host: Type.Optional(Type.String({ description: 'Address to listen on', default: '127.0.0.1' })),
          port: Type.Integer({
            description: 'Port of /metrics, /health/live and /health/ready',
            minimum: 0,
            maximum: 65_535,
          }),
        },
        { ...closed, description: 'Metrics and health; none where left out' },
      ),
    ),
    catalogue: Type.Optional(
      Type.Object(
        {
          release: size(
            'Release number stamped on normalised events; raise it with every change of mapping or version',
            1,
          ),
          mappings: Type.Optional(
            Type.Array(Type.String(), { description: 'Local-code mapping files of the hospitals' }),
          ),
        },
        closed,
      ),
    ),
    bulk: Type.Optional(
      Type.Object(
        {
          recordsPerSecond: size('Rate budget of the bulk lane at each stage, records a second', 500),
          busyShare: Type.Optional(
            Type.Number({
              minimum: 0.01,
              maximum: 1,
              default: 0.2,
              description:
                'Share of the time that a stage of the bulk lane may be busy while live traffic flows beside it',
            }),
          ),
        },
        { ...closed, description: 'Backfill, replay and drains of an old spool' },
      ),
    ),
    watch: Type.Optional(watchConfig),
    acceptance: Type.Optional(acceptanceConfig),
    logLevel: Type.Optional(
      Type.Union(
        ['debug', 'info', 'warn', 'error'].map((level) => Type.Literal(level)),
        { default: 'info' },
      ),
    ),
    feeds: Type.Array(Type.Unknown(), { description: 'The configured senders', minItems: 1 }),
  },
  closed,
)
export type DeploymentConfig = Static<typeof deploymentConfig>

/** What a process does whose configuration does not say. */
export const defaultRoles = ({ uplink, gateway }: Pick<DeploymentConfig, 'uplink' | 'gateway'>): readonly Role[] =>
  uplink !== undefined ? ['receive'] : roles.filter((role) => role !== 'gateway' || gateway !== undefined)

/** What stands in the way of these roles in this configuration; undefined where nothing does. */
export function roleProblem(
  wanted: readonly Role[],
  { uplink, gateway }: Pick<DeploymentConfig, 'uplink' | 'gateway'>,
): string | undefined {
  const beyond = wanted.find((role) => role !== 'receive')
  if (uplink !== undefined && beyond !== undefined) {
    return `with uplink a process only receives; ${beyond} runs in the province`
  }
  if (wanted.includes('gateway') && gateway === undefined) return 'the role gateway needs gateway: {port: …, …}'
  return undefined
}

/** What every feed says, whatever its connector. */
export const feedFrame = {
  name: Type.String({ description: 'Name of the feed, unique', pattern: '^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$' }),
  hospital: Type.String({
    description: 'Institution code: whose data this is, whatever the messages say',
    minLength: 1,
    maxLength: 64,
  }),
  connector: Type.String({ description: 'Source protocol: hl7v2-mllp, hl7v2-files or astm-lis2' }),
}
