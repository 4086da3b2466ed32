import { Type, type Static, type TObject } from '@sinclair/typebox'

const tls = Type.Object(
  {
    certificate: Type.String({ description: 'Server certificate with its chain: PEM text or path of a PEM file' }),
    key: Type.String({ description: 'Private key of the certificate: PEM text or path of a PEM file' }),
    clientAuthorities: Type.Optional(
      Type.String({
        description:
          'Certificates of the authorities that sign client certificates: PEM text or path of a PEM file. ' +
          'Default: the authorities this platform trusts',
      }),
    ),
    requireClientCertificate: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Senders must prove themselves with a certificate of clientAuthorities (mTLS). Default false',
      }),
    ),
    clientCommonNames: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        minItems: 1,
        description:
          'Subject common names that may connect, exactly as in the certificate; needs requireClientCertificate. ' +
          'Default: every certificate the authorities signed',
      }),
    ),
  },
  { additionalProperties: false, description: 'TLS 1.2 or later on this port. Default: plain TCP' },
)

/** What a feed says about how its messages arrive over MLLP; one port per feed. */
export const mllpReceiveOptions = {
  host: Type.Optional(
    Type.String({
      minLength: 1,
      default: '127.0.0.1',
      description:
        'Address to listen on. Default 127.0.0.1: MLLP has no authentication of its own, so that being reachable from ' +
        'the network is written down. A front-end machine that serves others needs 0.0.0.0 (or ::), best with allow',
    }),
  ),
  port: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65535,
      default: 2575,
      description: 'TCP port; 0 takes a free one. Default 2575, registered with IANA for HL7',
    }),
  ),
  allow: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description: 'IPv4 and IPv6 addresses and CIDR blocks that may connect. Default: every address',
    }),
  ),
  tls: Type.Optional(tls),
  maxMessageBytes: Type.Optional(
    Type.Integer({
      minimum: 256,
      maximum: 1024 * 1024 * 1024,
      default: 16 * 1024 * 1024,
      description:
        'Largest message taken, bytes; a larger one is refused without being held. Default 16777216 (16 MiB)',
    }),
  ),
  maxConnections: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 2048,
      description: 'Connections at a time; a further one is closed. Default 2048',
    }),
  ),
  maxInFlightMessages: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 4096,
      description: 'Messages read and not yet durable; beyond it nothing is read from the senders. Default 4096',
    }),
  ),
  maxInFlightBytes: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 64 * 1024 * 1024,
      description: 'The same in bytes; one message is always taken. Default 67108864 (64 MiB)',
    }),
  ),
  maxInFlightPerConnection: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 64,
      description: 'Messages of one connection under way, for senders that do not wait for the answer. Default 64',
    }),
  ),
  maxHeldBytes: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 128 * 1024 * 1024,
      description:
        'Memory for incomplete messages of all connections, bytes; beyond it the connection that holds most is closed. ' +
        'At least twice maxMessageBytes is used. Default 134217728 (128 MiB)',
    }),
  ),
  idleTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 3_600_000,
      description:
        'A connection without any byte for this long is closed, ms; 0 keeps it. Default 3600000 (1 h); a vanished peer ' +
        'is noticed earlier by TCP keep-alive',
    }),
  ),
  frameTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 120_000,
      description:
        'Longest time from the first byte of a message to its end, ms; then it is refused and the connection closed. ' +
        'Default 120000 (2 min)',
    }),
  ),
  endGraceMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 50,
      description:
        'A message whose 0x1C is followed by silence ends after this time, ms (the CR is missing). Default 50',
    }),
  ),
  stopTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 10_000,
      description: 'How long a stop waits for messages under way before it closes their connections, ms. Default 10000',
    }),
  ),
  acknowledgement: Type.Optional(
    Type.Union([Type.Literal('by-message'), Type.Literal('original')], {
      default: 'by-message',
      description:
        'by-message: original mode (AA, AR) where MSH-15 and MSH-16 are both empty, else enhanced mode (CA, CE) as they ' +
        'ask. original: AA or AR whatever they say, for senders that fill them and yet wait for AA. Default by-message',
    }),
  ),
  applicationAcknowledgement: Type.Optional(
    Type.Union([Type.Literal('none'), Type.Literal('when-stored')], {
      default: 'none',
      description:
        'What a sender that asks for both answers (MSH-15 and MSH-16) gets after the CA. none: nothing, most senders ' +
        'would read it as the answer to their next message. when-stored: AA as a second message. Default none',
    }),
  ),
}

export type MllpReceiveConfig = Static<TObject<typeof mllpReceiveOptions>>

const defaults = {
  host: '127.0.0.1',
  port: 2575,
  maxMessageBytes: 16 * 1024 * 1024,
  maxConnections: 2048,
  maxInFlightMessages: 4096,
  maxInFlightBytes: 64 * 1024 * 1024,
  maxInFlightPerConnection: 64,
  maxHeldBytes: 128 * 1024 * 1024,
  idleTimeoutMs: 3_600_000,
  frameTimeoutMs: 120_000,
  endGraceMs: 50,
  stopTimeoutMs: 10_000,
  acknowledgement: 'by-message',
  applicationAcknowledgement: 'none',
} as const

/** The configuration with every default filled in. */
export type MllpSettings = MllpReceiveConfig & Required<Omit<MllpReceiveConfig, 'allow' | 'tls'>>

/** Fills in the defaults; they are the ones the options state. */
export function mllpSettings(config: MllpReceiveConfig): MllpSettings {
  const settings = { ...defaults, ...config }
  return { ...settings, maxHeldBytes: Math.max(settings.maxHeldBytes, 2 * settings.maxMessageBytes) }
}
