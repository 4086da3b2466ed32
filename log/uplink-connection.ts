import { request as httpRequest } from 'node:http'
import { Agent } from 'node:https'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { readPemFile } from '../core/pem.js'

export interface UplinkCredentials {
  /** PEM files; read again at each new connection, so that a renewed certificate needs no restart. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

interface ConnectOptions {
  readonly host?: string
  readonly port?: number | string
}
type Connected = (error: Error | null, socket?: Duplex) => void

const connectTimeoutMs = 20_000

/** Connections to the gateway, kept alive, straight or through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6). */
export function uplinkAgent(credentials: UplinkCredentials, proxy: URL | undefined): Agent {
  readCredentials(credentials) // fails at the start rather than at night
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const createConnection = ({ host = '', port = 443 }: ConnectOptions, connected: Connected): undefined => {
    open(host, Number(port), credentials, proxy).then(
      (socket) => connected(null, socket),
      (error: unknown) => connected(error as Error),
    )
  }
  return Object.assign(agent, { createConnection })
}

async function open(
  host: string,
  port: number,
  credentials: UplinkCredentials,
  proxy: URL | undefined,
): Promise<TLSSocket> {
  const secure = {
    ...readCredentials(credentials),
    minVersion: 'TLSv1.2' as const,
    ...(isIP(host) === 0 && { servername: host }),
  }
  const way = proxy === undefined ? { host, port } : { host, socket: await tunnel(proxy, host, port) }
  return new Promise((resolve, reject) => {
    const socket = connectTls({ ...secure, ...way })
    const timer = setTimeout(() => socket.destroy(new Error(`no TLS within ${connectTimeoutMs} ms`)), connectTimeoutMs)
    socket.once('close', () => {
      clearTimeout(timer)
      reject(new Error('the connection was closed before TLS stood'))
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function tunnel(proxy: URL, host: string, port: number): Promise<Duplex> {
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  const { username, password } = proxy
  const userinfo = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port === '' ? 80 : Number(proxy.port),
      method: 'CONNECT',
      path: target,
      agent: false,
      timeout: connectTimeoutMs,
      headers: {
        host: target,
        ...(username !== '' && { 'proxy-authorization': `Basic ${Buffer.from(userinfo).toString('base64')}` }),
      },
    })
    const refused = (status: number | undefined): Error =>
      new Error(`the proxy ${proxy.host} answered ${status ?? 'nothing'} to CONNECT ${target}`)
    request.once('connect', (response, socket) => {
      if (response.statusCode === 200) return resolve(socket.setTimeout(0))
      socket.destroy()
      reject(refused(response.statusCode))
    })
    request.once('response', (response) => {
      response.destroy()
      reject(refused(response.statusCode))
    })
    request.once('timeout', () => request.destroy(refused(undefined)))
    request.once('error', reject)
    request.end()
  })
}

function readCredentials({ caFile, certFile, keyFile }: UplinkCredentials): { ca: string; cert: string; key: string } {
  return {
    ca: readPemFile('uplink.caFile', caFile),
    cert: readPemFile('uplink.certFile', certFile),
    key: readPemFile('uplink.keyFile', keyFile),
  }
}
