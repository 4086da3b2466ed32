import type { Logger, Metrics } from '../../core/telemetry.js'
import {
  endOfCertificate,
  readServerCertificate,
  type ServerCertificate,
  type ServerCertificateFiles,
} from './server-certificate.js'

const sayEveryMs = 24 * 3_600_000

/** The certificate that the gateway shows, kept as the files have it. */
export interface CertificateWatch {
  readonly current: ServerCertificate
  /** Reads the files; what can be used takes effect for connections from now on, all else leaves what is in force. */
  look(): void
}

/** @throws UsageError where the files cannot be used at the start */
export function watchCertificate(options: {
  readonly files: ServerCertificateFiles
  readonly changed: (certificate: ServerCertificate) => void
  readonly now: () => number
  readonly metrics: Metrics
  readonly logger: Logger
}): CertificateWatch {
  const { files, changed, now, metrics, logger } = options
  let current = readServerCertificate(files)
  let problem: string | undefined
  let saidAt = -Infinity

  const refuse = (reason: string): void => {
    metrics.gatewayCertificateRefused.set(1)
    // While two files are replaced one after the other they do not fit for a moment: said once for each reason.
    if (reason !== problem) logger.error({ cause: reason }, 'the new server certificate is refused: the old one stays')
    problem = reason
  }
  const take = (next: ServerCertificate): void => {
    metrics.gatewayCertificateRefused.set(0)
    problem = undefined
    const { pem } = current
    if (pem.cert === next.pem.cert && pem.key === next.pem.key && pem.ca === next.pem.ca) return
    changed(next)
    current = next
    saidAt = -Infinity
    logger.info({ until: new Date(next.until) }, 'the server certificate and its authorities were read again')
  }
  const warn = (): void => {
    metrics.gatewayCertificateUntil.set(Math.floor(current.until / 1000))
    const end = endOfCertificate(current.until, now())
    if (end === undefined || now() - saidAt < sayEveryMs) return
    saidAt = now()
    const text = `the server certificate ${end === 'ended' ? 'has ended: no edge connects' : 'ends soon'}; put a new one in its place (hutong ca server --renew)`
    if (end === 'ended') logger.error({ until: new Date(current.until) }, text)
    else logger.warn({ until: new Date(current.until) }, text)
  }
  warn()
  return {
    get current() {
      return current
    },
    look() {
      try {
        const next = readServerCertificate(files)
        const isWorse = endOfCertificate(next.until, now()) === 'ended' && current.until > next.until
        if (isWorse) refuse(`it ended on ${next.certificate.validTo}`)
        else take(next)
      } catch (error) {
        refuse((error as Error).message)
      }
      warn()
    },
  }
}
