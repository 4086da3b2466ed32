import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rm, stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest, type Agent } from 'node:https'
import { dirname } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Value } from '@sinclair/typebox/value'
import { RetryableError } from '../core/errors.js'
import { releasesPath, reportAnswer, reportPath, type EdgeReport, type ReportAnswer } from '../core/fleet-report.js'
import { bandwidthCap, type UplinkOptions } from './uplink.js'
import { addressOf, readAnswer, refusedBy } from './uplink-answer.js'
import { uplinkAgent } from './uplink-connection.js'

export type FleetLinkOptions = Pick<
  UplinkOptions,
  'url' | 'proxy' | 'bytesPerSecond' | 'caFile' | 'certFile' | 'keyFile' | 'idleTimeoutMs'
>

/** What a supervisor asks of the gateway, with the certificate of the uplink. */
export interface FleetLink {
  /** @throws RetryableError where the gateway is away or refuses, with its code and what to do */
  report(report: EdgeReport, signal: AbortSignal): Promise<{ readonly answer: ReportAnswer; readonly tripMs: number }>
  /**
   * The bytes of a release in a file: what an earlier attempt left is continued, never faster than `bytesPerSecond`. False
   * where what came is not what its hash says: the file is gone then. @throws RetryableError
   */
  fetch(
    release: { readonly sha256: string; readonly bytes: number },
    file: string,
    signal: AbortSignal,
  ): Promise<boolean>
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
    async fetch({ sha256, bytes }, file, signal) {
      await mkdir(dirname(file), { recursive: true })
      let have = (await stat(file).catch(() => undefined))?.size ?? 0
      if (have > bytes) {
        await rm(file)
        have = 0
      }
      try {
        if (have < bytes) {
          const headers = have > 0 ? { range: `bytes=${have}-` } : {}
          const response = await ask(agents.fetch, 'GET', releasesPath + sha256, headers, signal)
          if (response.statusCode !== 200 && response.statusCode !== 206) {
            throw new RetryableError(refusedBy(await readAnswer(response))?.sentence ?? 'unexpected answer')
          }
          const flags = response.statusCode === 206 ? 'a' : 'w'
          await pipeline(response, paced(pace, signal), createWriteStream(file, { flags, flush: true }))
        }
      } catch (error) {
        // A full disk is not the gateway's fault.
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error
        throw away(error)
      }
      const { size } = await stat(file)
      if (size < bytes) throw new RetryableError(`${size} of ${bytes} bytes came`)
      const hash = createHash('sha256')
      for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) hash.update(chunk)
      if (hash.digest('hex') === sha256) return true
      await rm(file)
      return false
    },
    close() {
      agents.report.destroy()
      agents.fetch.destroy()
    },
  }
}

/** Back pressure reaches the sender: what is not taken is not sent. */
const paced = (pace: ReturnType<typeof bandwidthCap>, signal: AbortSignal): Transform =>
  new Transform({
    highWaterMark: 64 * 1024,
    transform(chunk: Buffer, _encoding, done) {
      pace(chunk.length, signal).then(
        () => done(null, chunk),
        (error: unknown) => done(error as Error),
      )
    },
  })

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
