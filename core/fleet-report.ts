import { Type, type Static } from '@sinclair/typebox'
import { sha256Pattern, signedRelease } from './fleet-release.js'

export const reportPath = '/v1/report'
export const releasesPath = '/v1/releases/'
export const reportBytesMax = 256 * 1024

const closed = { additionalProperties: false }
const orNull = <T extends ReturnType<typeof Type.Integer> | ReturnType<typeof Type.Boolean>>(schema: T) =>
  Type.Union([schema, Type.Null()])
const count = Type.Integer({ minimum: 0 })

/** Why an edge did not take a release, or left it. docs/operations/fleet.md says what to do about each. */
export const outcomeCodes = [
  'signature-refused',
  'manifest-unreadable',
  'not-for-this-edge',
  'older-than-known',
  'bytes-differ',
  'package-refused',
  'spool-format',
  'configuration-invalid',
  'configuration-moves-data',
  'start-check-failed',
  'disk-full',
  'crash-loop',
  'not-ready',
  'feeds-not-listening',
  'uplink-refused',
  'ordered',
] as const
export type OutcomeCode = (typeof outcomeCodes)[number]

const outcome = Type.Object(
  {
    /** Number of the release. */
    number: Type.Integer({ minimum: 1 }),
    outcome: Type.Union([Type.Literal('switched'), Type.Literal('rolled-back'), Type.Literal('refused')]),
    code: Type.Union([
      Type.Unsafe<OutcomeCode>(Type.Union(outcomeCodes.map((code) => Type.Literal(code)))),
      Type.Null(),
    ]),
    at: count,
  },
  closed,
)
export type ReleaseOutcome = Static<typeof outcome>

/** What an edge says of itself. No patient data: names of feeds, numbers, states. Times are ms since 1970 of its clock. */
export const edgeReport = Type.Object(
  {
    format: Type.Literal(1),
    at: count,
    environment: Type.Union([Type.Literal('production'), Type.Literal('test')]),
    /** Of the program that receives, and of the one that supervises it. */
    version: Type.String({ maxLength: 64 }),
    supervisorVersion: Type.String({ maxLength: 64 }),
    /** SHA-256 of the configuration file in use, hex. */
    configuration: Type.String({ pattern: sha256Pattern }),
    /** Numbers of the releases that run; null where they were put there by hand. */
    packageNumber: orNull(Type.Integer({ minimum: 1 })),
    configurationNumber: orNull(Type.Integer({ minimum: 1 })),
    /** The release that is on trial, or being fetched. */
    trial: orNull(Type.Integer({ minimum: 1 })),
    fetching: orNull(Type.Integer({ minimum: 1 })),
    /** Of the last releases, the newest first. */
    outcomes: Type.Array(outcome, { maxItems: 10 }),
    ready: Type.Boolean(),
    /** Parts that are not ready. */
    notReady: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 16 }),
    /** Unwanted ends of the program since the supervisor was started. */
    crashes: count,
    spool: Type.Union([
      Type.Object({ messages: count, bytes: count, oldestSeconds: count, accepting: Type.Boolean() }, closed),
      Type.Null(),
    ]),
    disk: Type.Union([Type.Object({ freeBytes: count, totalBytes: count }, closed), Type.Null()]),
    /** The edge's clock minus the gateway's, measured with the last answer. */
    clockSkewMs: orNull(Type.Integer()),
    /** End of the client certificate, ms. */
    certificateUntil: orNull(count),
    /** Whether the gateway took the last batch; null where none was sent yet. */
    uplinkAccepted: orNull(Type.Boolean()),
    feeds: Type.Array(
      Type.Object(
        {
          name: Type.String({ maxLength: 100 }),
          listening: Type.Boolean(),
          /** Since the program was started. */
          lastAcceptedAt: orNull(count),
        },
        closed,
      ),
      { maxItems: 500 },
    ),
  },
  closed,
)
export type EdgeReport = Static<typeof edgeReport>

/** What the gateway answers: what this edge should run. More than this may come from a newer gateway. */
export const reportAnswer = Type.Object({
  format: Type.Literal(1),
  /** Null: stay with what runs. */
  package: Type.Union([signedRelease, Type.Null()]),
  configuration: Type.Union([signedRelease, Type.Null()]),
  /** Numbers of releases to leave: whoever runs one goes back to what it ran before. */
  leave: Type.Array(Type.Integer({ minimum: 1 }), { maxItems: 100 }),
  /** Null: as the edge is configured. */
  reportEverySeconds: orNull(Type.Integer({ minimum: 1, maximum: 86_400 })),
  /** ms since 1970 of the gateway's clock. */
  serverTime: count,
})
export type ReportAnswer = Static<typeof reportAnswer>
