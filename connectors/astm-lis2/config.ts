import { Type, type Static, type TObject } from '@sinclair/typebox'

/** What a feed says about how its messages arrive over a line of LIS1-A. */
export const astmReceiveOptions = {
  mode: Type.Optional(
    Type.Union([Type.Literal('listen'), Type.Literal('connect')], {
      default: 'listen',
      description:
        'listen: analysers and serial servers connect to this port. connect: this end connects to a serial server or an ' +
        'analyser that listens, and again whenever the connection is gone. Default listen',
    }),
  ),
  host: Type.Optional(
    Type.String({
      minLength: 1,
      default: '127.0.0.1',
      description:
        'Address to listen on, or to connect to. Default 127.0.0.1: the protocol has no authentication, so that being ' +
        'reachable from the network is written down (0.0.0.0 or ::, best with allow)',
    }),
  ),
  port: Type.Integer({
    minimum: 0,
    maximum: 65535,
    description: 'TCP port; 0 listens on a free one. No default: the protocol has no registered port',
  }),
  allow: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description: 'IPv4 and IPv6 addresses and CIDR blocks that may connect. Default: every address',
    }),
  ),
  maxConnections: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 64,
      description:
        'Connections at a time; further ones are closed. Memory for incomplete messages is at most this many times ' +
        'maxMessageBytes. Default 64',
    }),
  ),
  maxMessageBytes: Type.Optional(
    Type.Integer({
      minimum: 256,
      maximum: 64 * 1024 * 1024,
      default: 1024 * 1024,
      description: 'Largest message taken, bytes; the frame that goes beyond is answered NAK. Default 1048576 (1 MiB)',
    }),
  ),
  maxFrameBytes: Type.Optional(
    Type.Integer({
      minimum: 240,
      maximum: 16 * 1024 * 1024,
      default: 65_536,
      description:
        'Longest text of a frame, bytes; the standard says 240, many analysers send whole records. Default 65536',
    }),
  ),
  maxInFlightMessages: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 64,
      description: 'Messages read and not yet durable, over all connections; beyond it answers wait. Default 64',
    }),
  ),
  frameNumbers: Type.Optional(
    Type.Union([Type.Literal('check'), Type.Literal('ignore')], {
      default: 'check',
      description:
        'check: a frame out of order is answered NAK. ignore: for analysers that number wrongly; a frame equal to the ' +
        'one before counts as its repetition all the same. Default check',
    }),
  ),
  frameTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 30_000,
      description: 'Longest wait for the next frame of a session, ms. Default 30000, as LIS1-A says',
    }),
  ),
  answerTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 10_000,
      description:
        'A message not durable after this time is answered NAK, ms, so that the sender repeats the frame instead of ' +
        'giving up at 15 s. Default 10000',
    }),
  ),
  endGraceMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 300,
      description: 'A frame without CR LF after its checksum ends after this silence, ms. Default 300',
    }),
  ),
  idleTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 86_400_000,
      description:
        'A connection without a valid frame or enquiry for this long is closed, ms; 0 keeps it. Default 86400000 (1 day); ' +
        'a vanished peer is noticed earlier by TCP keep-alive',
    }),
  ),
  reconnectMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: 5000,
      description: 'With connect: pause before the connection is opened again, ms. Default 5000',
    }),
  ),
  stopTimeoutMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      default: 10_000,
      description: 'How long a stop waits for messages under way before it closes their connections, ms. Default 10000',
    }),
  ),
}

export type AstmReceiveConfig = Static<TObject<typeof astmReceiveOptions>>

const defaults = {
  mode: 'listen',
  host: '127.0.0.1',
  maxConnections: 64,
  maxMessageBytes: 1024 * 1024,
  maxFrameBytes: 65_536,
  maxInFlightMessages: 64,
  frameNumbers: 'check',
  frameTimeoutMs: 30_000,
  answerTimeoutMs: 10_000,
  endGraceMs: 300,
  idleTimeoutMs: 86_400_000,
  reconnectMs: 5000,
  stopTimeoutMs: 10_000,
} as const

/** The configuration with every default filled in. */
export type AstmSettings = AstmReceiveConfig & Required<Omit<AstmReceiveConfig, 'allow'>>

/** Fills in the defaults; they are the ones the options state. */
export const astmSettings = (config: AstmReceiveConfig): AstmSettings => ({ ...defaults, ...config })
