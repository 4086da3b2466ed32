import { createPrivateKey, type X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { certificatesOf } from '../../core/certificates.js'
import { UsageError } from '../../core/errors.js'
import { readPemFile } from '../../core/pem.js'

export interface ServerCertificateFiles {
  /** PEM files. */
  readonly certFile: string
  readonly keyFile: string
  /** Authorities of client certificates, PEM file. */
  readonly clientCaFile?: string
  /** Further authorities of client certificates, PEM. */
  readonly clientAuthorities?: string
  /** Sent after those of certFile that it does not hold itself: who enrols finds the authority there that its token names. PEM. */
  readonly chain?: string
}

/** What the gateway shows, and whom it believes, in a form that TLS has been tried with. */
export interface ServerCertificate {
  readonly pem: { readonly cert: string; readonly key: string; readonly ca: string }
  readonly certificate: X509Certificate
  /** End of the certificate, ms. */
  readonly until: number
  /** Of clientCaFile. */
  readonly clientAuthorities: readonly X509Certificate[]
}

/** @throws UsageError naming the setting where a file is missing, torn, or key and certificate are not of one pair */
export function readServerCertificate(files: ServerCertificateFiles): ServerCertificate {
  const { certFile, keyFile, clientCaFile, clientAuthorities = '', chain = '' } = files
  const certText = readPemFile('gateway.certFile', certFile)
  const key = readPemFile('gateway.keyFile', keyFile)
  const caText = clientCaFile === undefined ? '' : readPemFile('gateway.clientCaFile', clientCaFile)
  const shown = usable(`gateway.certFile: ${certFile} holds no certificate in PEM`, () => certificatesOf(certText))
  const [certificate] = shown
  if (certificate === undefined) throw new UsageError(`gateway.certFile: ${certFile} holds no certificate in PEM`)
  const privateKey = usable(`gateway.keyFile: ${keyFile} cannot be read as a key`, () => createPrivateKey(key))
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new UsageError(`gateway.keyFile: ${keyFile} is not the key of ${certFile}`)
  }
  const outside = usable(`gateway.clientCaFile: ${clientCaFile} cannot be read`, () => certificatesOf(caText))
  if (clientCaFile !== undefined && outside.length === 0) {
    throw new UsageError(`gateway.clientCaFile: ${clientCaFile} holds no certificate in PEM`)
  }
  const known = new Set(shown.map(({ fingerprint256 }) => fingerprint256))
  const missing = certificatesOf(chain).filter(({ fingerprint256 }) => !known.has(fingerprint256))
  const cert = [certText, ...missing.map((one) => one.toString())].join('\n')
  const pem = { cert, key, ca: `${caText}\n${clientAuthorities}` }
  usable('gateway: the certificate or key cannot be used', () => createSecureContext(pem))
  return { pem, certificate, until: Date.parse(certificate.validTo), clientAuthorities: outside }
}

function usable<T>(problem: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw new UsageError(`${problem}: ${code ?? message}`, { cause })
  }
}

const dayMs = 86_400_000
/** Time enough for whoever must issue another one. */
export const certificateWarningMs = 30 * dayMs

/** What the operator is to be told of the end of the gateway's certificate; undefined while it is far. */
export function endOfCertificate(until: number, now: number): 'ended' | 'soon' | undefined {
  if (until <= now) return 'ended'
  return until - now < certificateWarningMs ? 'soon' : undefined
}
