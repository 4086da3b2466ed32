import type { IncomingMessage } from 'node:http'
import { request as httpsRequest, type Agent } from 'node:https'
import { Value } from '@sinclair/typebox/value'
import { RetryableError } from '../core/errors.js'
import { releasesPath, reportAnswer, reportPath, type EdgeReport, type ReportAnswer } from '../core/fleet-report.js'
import { downloadRelease, isDiskFull, type ReleaseBytes, type ReleaseWay } from './release-download.js'
import { bandwidthCap, type UplinkOptions } from './uplink.js'
import { addressOf, readAnswer, refusedBy } from './uplink-answer.js'
import { uplinkAgent } from './uplink-connection.js'

export type FleetLinkOptions = Pick<
  UplinkOptions,
  'url' | 'proxy' | 'bytesPerSecond' | 'caFile' | 'certFile' | 'keyFile' | 'idleTimeoutMs'
> &
  Pick<ReleaseWay, 'createFile'>

/** What a supervisor asks of the gateway, with the certificate of the uplink. */
export interface FleetLink {
  /** @throws RetryableError where the gateway is away or refuses, with its code and what to do */
  report(report: EdgeReport, signal: AbortSignal): Promise<{ readonly answer: ReportAnswer; readonly tripMs: number }>
  /**
   * The bytes of a release in a file: what an earlier attempt left is continued, never faster than `bytesPerSecond`. False
   * where what came is not what its hash says: the file is gone then. @throws RetryableError; what the disk says when full
   */
  fetch(release: ReleaseBytes, file: string, signal: AbortSignal): Promise<boolean>
  close(): void
}

/** @throws UsageError for an address or files that cannot be used */
export function openFleetLink(options: FleetLinkOptions): FleetLink {
  const url = addressOf(options.url, 'https:', 'uplink.url')
  const proxy = options.proxy === undefined ? undefined : addressOf(options.proxy, 'http:', 'uplink.proxy')
  // Two: a report does not wait for a download that takes hours.
  const agents = { report: uplinkAgent(options, proxy), fetch: uplinkAgent(options, proxy) }
  const pace = bandwidthCap(options.bytesPerSecond)
  const ask = (agent: Agent, method: string, path: string, headers: object, signal: AbortSignal, body?: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpsRequest({
        agent,
        method,
        path,
        signal,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? 443 : Number(url.port),
        timeout: options.idleTimeoutMs ?? 90_000,
        headers: { ...headers },
      })
      request.once('timeout', () => request.destroy(new Error('nothing moved for too long')))
      request.once('response', resolve)
      request.once('error', reject)
      request.end(body)
    })
  const away = (error: unknown): RetryableError => {
    if (error instanceof RetryableError) return error
    const { code, message } = error as NodeJS.ErrnoException
    return new RetryableError(`the gateway ${url.host} cannot be reached: ${code ?? message}`, { cause: error })
  }
  return {
    async report(report, signal) {
      const body = JSON.stringify(report)
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const begun = performance.now()
      try {
        const answered = await readAnswer(await ask(agents.report, 'POST', reportPath, headers, signal, body))
        const tripMs = performance.now() - begun
        const answer = jsonOf(answered.text)
        if (answered.status === 200 && Value.Check(reportAnswer, answer)) return { answer, tripMs }
        throw new RetryableError(refusedBy(answered)?.sentence ?? 'the answer is not one of a gateway')
      } catch (error) {
        throw away(error)
      }
    },
    async fetch(release, file, signal) {
      try {
        return await downloadRelease(release, file, {
          ask: (headers) => ask(agents.fetch, 'GET', releasesPath + release.sha256, headers, signal),
          pace: (bytes) => pace(bytes, signal),
          ...(options.createFile !== undefined && { createFile: options.createFile }),
        })
      } catch (error) {
        // A full disk is not the gateway's fault.
        if (isDiskFull(error)) throw error
        throw away(error)
      }
    },
    close() {
      agents.report.destroy()
      agents.fetch.destroy()
    },
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
