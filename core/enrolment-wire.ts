/** What an edge and the gateway say to each other about certificates: JSON, within TLS. */

export const enrolPath = '/v1/enrol'
export const renewPath = '/v1/renew'

/** Without a certificate: the token stands for it. */
export interface EnrolmentRequest {
  readonly id: string
  /** base64url. */
  readonly secret: string
  /** PKCS #10, PEM. */
  readonly csr: string
}

/** With the certificate that is to be followed. */
export type RenewalRequest = Pick<EnrolmentRequest, 'csr'>

/** The answer to both. */
export interface EnrolmentAnswer {
  readonly hospital: string
  readonly edge: string
  /** With its chain, PEM. */
  readonly certificate: string
  /** What the gateway is known by, PEM. */
  readonly authorities: string
  /** Ed25519, PEM. */
  readonly releaseKeys: readonly string[]
}
