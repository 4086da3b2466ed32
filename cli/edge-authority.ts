import type { X509Certificate } from 'node:crypto'
import { readAuthority, type Authority } from '../core/authority.js'
import { certificatesOf, pemOf, publicKeyHash } from '../core/certificates.js'
import { UsageError } from '../core/errors.js'
import { readPemFile } from '../core/pem.js'
import type { Configuration } from './config.js'

type GatewayConfig = NonNullable<Configuration['gateway']>

/** The authority that issues; undefined where a gateway issues nothing. @throws UsageError for files that are none */
export const authorityOf = ({ authority }: GatewayConfig): Authority | undefined =>
  authority === undefined ? undefined : readAuthority('gateway.authority', authority)

/** What edges know a gateway by. */
export interface GatewayTrust {
  /** The highest certificate at hand above the gateway's own, and the chain of our authority, PEM. */
  readonly authorities: string
  /** SHA-256 of the public key of that certificate: what tokens name. */
  readonly pin: Buffer
}

/** @throws UsageError where nothing at hand issued the gateway's certificate */
export function gatewayTrust(
  { certFile }: Pick<GatewayConfig, 'certFile'>,
  authority: Authority | undefined,
): GatewayTrust {
  const own = certificatesOf(readPemFile('gateway.certFile', certFile))
  const issuing = authority === undefined ? [] : certificatesOf(authority.chain)
  const [leaf] = own
  if (leaf === undefined) throw new UsageError(`gateway.certFile: ${certFile} holds no certificate in PEM`)
  const above = [...own.slice(1), ...issuing]
  let top: X509Certificate = leaf
  for (let steps = 0; steps < 10; steps++) {
    const child: X509Certificate = top
    const next: X509Certificate | undefined = above.find(
      (one) => one.fingerprint256 !== child.fingerprint256 && child.checkIssued(one) && child.verify(one.publicKey),
    )
    if (next === undefined) break
    top = next
  }
  if (top === leaf && !(top.checkIssued(top) && top.verify(top.publicKey))) {
    throw new UsageError(
      `gateway.certFile: put the certificate of the authority that issued it below it in ${certFile}: edges know the gateway by that`,
    )
  }
  const shown = [top, ...issuing.filter(({ fingerprint256 }) => fingerprint256 !== top.fingerprint256)]
  const authorities = shown.map(({ raw }) => pemOf('CERTIFICATE', raw)).join('')
  return { authorities, pin: publicKeyHash(top.publicKey) }
}
