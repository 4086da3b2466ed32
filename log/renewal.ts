import type { X509Certificate } from 'node:crypto'
import type { Agent } from 'node:https'
import { createCertificateRequest } from '../core/certificate-request.js'
import { renewPath, type RenewalRequest } from '../core/enrolment-wire.js'
import { RetryableError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import type { Logger, Metrics } from '../core/telemetry.js'
import { enrolmentAnswer } from './enrol.js'
import { CallRefused, callGateway } from './gateway-call.js'
import { currentCertificate, pendingKey, writeIdentity, type IdentityFiles } from './identity.js'
import { addressOf } from './uplink-answer.js'
import { uplinkAgent } from './uplink-connection.js'

export interface RenewalOptions {
  readonly url: string
  readonly proxy?: string
  /** The certificate in use, PEM; its key and authorities are the identity's where it is one. */
  readonly certFile: string
  /** Undefined where the certificate is looked after by somebody else: then its end is only watched. */
  readonly identity?: IdentityFiles
  /** Called when another certificate lies there. */
  readonly renewed: () => Promise<void>
  readonly now: () => number
  readonly metrics: Metrics
  readonly logger: Logger
}

const dayMs = 86_400_000
const warnFromMs = 14 * dayMs
const lookMsMax = 60_000

/** Keeps the certificate of an edge current until `signal` aborts: a new key and certificate at two thirds of its life. */
export async function keepCertificate(options: RenewalOptions, signal: AbortSignal): Promise<void> {
  const { certFile, identity, now, metrics, logger } = options
  let inUse: string | undefined
  let dueAt = 0
  let warnedAt = 0
  while (!signal.aborted) {
    const certificate = await currentCertificate(certFile).catch(() => undefined)
    if (certificate === undefined) {
      logger.error({ certFile }, 'the client certificate cannot be read: look at the file, or enrol this edge again')
      await pause(lookMsMax, signal)
      continue
    }
    const dates = datesOf(certificate)
    if (certificate.fingerprint256 !== inUse) {
      if (inUse !== undefined) await options.renewed()
      inUse = certificate.fingerprint256
      dueAt = renewalDueAt(dates, Math.random())
    }
    const leftMs = dates.validTo - now()
    metrics.uplinkCertificate.set(leftMs / 1000)
    if (leftMs < warnFromMs && now() - warnedAt >= dayMs && (identity === undefined || now() > dueAt)) {
      warnedAt = now()
      logger.warn({ until: new Date(dates.validTo) }, sentenceOf(leftMs, identity !== undefined))
    }
    let waitMs = Math.min(lookMsMax, Math.max(1, dueAt - now()))
    if (identity === undefined) waitMs = lookMsMax
    else if (leftMs <= 0) waitMs = lookMsMax
    else if (now() >= dueAt) {
      if (await renewOnce({ ...options, identity }, certificate, signal)) continue
      dueAt = now() + retryMs(leftMs, Math.random())
      waitMs = Math.min(lookMsMax, dueAt - now())
    }
    await pause(waitMs, signal)
  }
}

interface Dates {
  /** ms */
  readonly validFrom: number
  readonly validTo: number
}

const datesOf = ({ validFrom, validTo }: X509Certificate): Dates => ({
  validFrom: Date.parse(validFrom),
  validTo: Date.parse(validTo),
})

/** At two thirds of the lifetime, up to a twentieth of it earlier: edges enrolled together do not come together. ms */
export const renewalDueAt = ({ validFrom, validTo }: Dates, random: number): number =>
  validFrom + (validTo - validFrom) * (2 / 3 - random / 20)

/** About twenty attempts in what is left, at most one an hour and one a second. ms */
export const retryMs = (leftMs: number, random: number): number =>
  Math.min(3_600_000, Math.max(1000, leftMs / 20)) * (0.75 + random / 2)

function sentenceOf(leftMs: number, isEnrolled: boolean): string {
  if (leftMs <= 0) {
    return isEnrolled
      ? 'the client certificate has ended: ask the province for a new token (hutong edge token) and run hutong enrol; spool and configuration stay'
      : 'the client certificate has ended: put a new one in its place'
  }
  return isEnrolled
    ? 'the client certificate ends soon and was not renewed yet: see the failures of renewal in this log'
    : 'the client certificate ends soon: put a new one in its place'
}

/** Whether another certificate lies there now. */
async function renewOnce(
  options: RenewalOptions & { readonly identity: IdentityFiles },
  current: X509Certificate,
  signal: AbortSignal,
): Promise<boolean> {
  const { identity: files, certFile, metrics, logger } = options
  const url = addressOf(options.url, 'https:', 'uplink.url')
  const proxy = options.proxy === undefined ? undefined : addressOf(options.proxy, 'http:', 'uplink.proxy')
  let key: Awaited<ReturnType<typeof pendingKey>> | undefined
  let agent: Agent | undefined
  try {
    key = await pendingKey(files, 'next', current)
    agent = uplinkAgent({ certFile, keyFile: certFile, caFile: files.caFile }, proxy)
    const body: RenewalRequest = { csr: createCertificateRequest('edge', key.privateKey, key.publicKey) }
    const answer = enrolmentAnswer(await callGateway({ url, agent, signal }, renewPath, body))
    await writeIdentity(files, options.url, answer, key.privateKey)
    await key.settle()
    metrics.uplinkRenewals.inc({ outcome: 'renewed' })
    logger.info('the client certificate was renewed')
    return true
  } catch (error) {
    if (signal.aborted) return false
    const refused = error instanceof CallRefused ? error.refused : undefined
    // Receiving goes on whatever is wrong with a renewal: a full disk, too.
    const outcome = refused?.code ?? (error instanceof RetryableError ? 'unreachable' : 'fault')
    metrics.uplinkRenewals.inc({ outcome })
    // Whatever is wrong with it, another key may be taken.
    if (refused?.code === 'csr-invalid') await key?.settle()
    logger.warn({ cause: (error as Error).message }, 'the client certificate could not be renewed; it is tried again')
    return false
  } finally {
    agent?.destroy()
  }
}
