/** Why the gateway did not take a batch: what the edge's engineer reads and does. Nothing is lost: the spool holds. */
export interface GatewayRefusalText {
  /** HTTP status of the answer. */
  readonly status: number
  readonly en: string
  readonly doEn: string
}

/** The closed list of the gateway's refusals. docs/errors.md is generated from it. */
export const gatewayRefusals = {
  'certificate-missing': {
    status: 401,
    en: 'The edge showed no client certificate',
    doEn: 'set uplink.certFile and uplink.keyFile; a proxy on the way must pass TLS through, not end it',
  },
  'certificate-expired': {
    status: 401,
    en: 'The client certificate is no longer, or not yet, valid',
    doEn: 'give the edge a new certificate; look at the clocks of both machines first',
  },
  'certificate-untrusted': {
    status: 401,
    en: 'The client certificate was not issued by an authority this gateway trusts',
    doEn: 'use a certificate of the authority in gateway.clientCaFile, with its intermediate certificates in certFile',
  },
  'certificate-unnamed': {
    status: 403,
    en: 'The client certificate does not name exactly one edge (SAN URI urn:hutong:edge:<hospital>:<edge>)',
    doEn: 'have the certificate issued again with that name',
  },
  'hospital-forged': {
    status: 403,
    en: 'A message says it is of another hospital than the client certificate',
    doEn: "correct hospital of the feed at the edge; it must be the certificate's",
  },
  'feed-unknown': {
    status: 403,
    en: "The gateway's configuration does not name this feed",
    doEn: "add the feed, with its hospital, to the gateway's configuration and start it again",
  },
  'feed-of-another-hospital': {
    status: 403,
    en: "The gateway's configuration gives this feed to another hospital",
    doEn: 'rename the feed at the edge, for names are unique in a province, or correct its hospital at the gateway',
  },
  'environment-mismatch': {
    status: 403,
    en: 'The batch is of another environment (production or test) than this gateway',
    doEn: 'point uplink.url at the gateway of this environment',
  },
  'path-unknown': {
    status: 404,
    en: 'The gateway has no such path',
    doEn: 'set uplink.url to https://host:port alone',
  },
  'method-unknown': {
    status: 405,
    en: 'Batches are sent with POST',
    doEn: 'let nothing but an edge talk to this port',
  },
  'too-slow': {
    status: 408,
    en: 'The body did not arrive in the time allowed',
    doEn: 'look at the line; raise gateway.requestTimeoutSeconds where it is as slow as that',
  },
  'length-missing': {
    status: 411,
    en: 'Content-Length or Hutong-Decoded-Length is missing or no number',
    doEn: 'a proxy on the way must leave the request as it is',
  },
  'body-too-large': {
    status: 413,
    en: 'The batch is larger than this gateway takes, as sent or decoded',
    doEn: 'raise gateway.bodyMegabytesMax above the largest message of the feeds',
  },
  'encoding-unknown': {
    status: 415,
    en: 'The content type or encoding is none this gateway reads',
    doEn: 'update the gateway before the edges',
  },
  'body-unreadable': {
    status: 400,
    en: 'The body does not unpack to the length stated',
    doEn: 'look for a device on the way that changes requests; the edge sends the batch again',
  },
  'batch-unreadable': {
    status: 400,
    en: 'The body is no batch of this wire format',
    doEn: 'update the gateway before the edges; see docs/uplink.md',
  },
  'schema-unknown': {
    status: 400,
    en: 'The batch is written with a schema this gateway does not hold',
    doEn: 'update the gateway before the edges',
  },
  'message-invalid': {
    status: 400,
    en: 'A message of the batch is not what an edge may send',
    doEn: 'report it with the log of the gateway; the spool keeps the message',
  },
  'report-unreadable': {
    status: 400,
    en: 'The report of the edge has not the form this gateway reads',
    doEn: 'update the gateway before the edges; see docs/operations/fleet.md',
  },
  'release-unknown': {
    status: 404,
    en: 'No rollout gives this edge such a package or configuration',
    doEn: 'nothing: the edge asks again what it should run',
  },
  'release-missing': {
    status: 503,
    en: 'The package or configuration is not, or not whole, in the folder of releases of this gateway',
    doEn: 'nothing at the edge; at the province, let fleet.releasesDir be one folder for publishing and all gateways',
  },
  'edge-busy': {
    status: 429,
    en: 'This edge already has as many batches under way as it may',
    doEn: 'nothing, unless it lasts: then two processes use the same certificate',
  },
  overloaded: {
    status: 503,
    en: 'The gateway holds as many bytes as it may',
    doEn: 'nothing; start a second gateway if it lasts',
  },
  'log-away': {
    status: 503,
    en: 'The event log does not take messages just now',
    doEn: 'nothing at the edge; the province looks after its event log',
  },
  stopping: {
    status: 503,
    en: 'The gateway is stopping',
    doEn: 'nothing; another instance, or this one, takes the batch later',
  },
  fault: { status: 500, en: 'The gateway met a fault of its own', doEn: 'report it with the log of the gateway' },
} as const satisfies Record<string, GatewayRefusalText>

export type GatewayRefusalCode = keyof typeof gatewayRefusals

export const isGatewayRefusalCode = (code: unknown): code is GatewayRefusalCode =>
  typeof code === 'string' && Object.hasOwn(gatewayRefusals, code)

/** The gateway does not take a batch; the edge keeps it and tries again. */
export class GatewayRefusal extends Error {
  override readonly name = 'GatewayRefusal'
  constructor(
    readonly code: GatewayRefusalCode,
    /** What was found: names of feeds, numbers and sizes, never content. */
    detail = '',
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(detail === '' ? gatewayRefusals[code].en : `${gatewayRefusals[code].en}: ${detail}`, options)
  }
}
