import { Type, type Static } from '@sinclair/typebox'

/** How feeds are accepted, and what lets them into production. */
export const acceptanceConfig = Type.Object(
  {
    keyFile: Type.Optional(
      Type.String({
        description: 'Private Ed25519 key that acceptance reports are signed with, PEM file (test environment)',
        minLength: 1,
      }),
    ),
    trustedKeyFiles: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Public Ed25519 keys whose reports activate a feed, PEM files (production)',
      }),
    ),
    reportDaysMax: Type.Optional(
      Type.Integer({ description: 'An older report activates no feed, days', default: 30, minimum: 1 }),
    ),
    platformName: Type.Optional(Type.String({ description: 'Name of the platform on the report', minLength: 1 })),
    hospitalNames: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Names of hospitals on the report, by institution code',
      }),
    ),
    kinds: Type.Optional(
      Type.Record(Type.String(), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 }), {
        description: 'Message kinds agreed with a feed, by its name, as MSH-9 type^trigger; ORU^R01 where left out',
      }),
    ),
  },
  { additionalProperties: false, description: 'Acceptance tests and the activation of feeds in production' },
)

export type AcceptanceConfig = Static<typeof acceptanceConfig>
