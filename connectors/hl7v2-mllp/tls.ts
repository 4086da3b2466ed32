import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { UsageError } from '../../core/errors.js'
import { readPemFile } from '../../core/pem.js'
import type { MllpSettings } from './config.js'

/** What becomes of a TLS handshake. */
export interface TlsOutcome {
  open(socket: TLSSocket): void
  refuse(peer: string | undefined, code: string): void
}

/**
 * Takes TCP connections through `emit('connection', socket)` and hands over those whose handshake and certificate are
 * in order; undefined where no TLS is configured. @throws UsageError for certificates that cannot be read or used
 */
export function tlsAcceptor(options: MllpSettings['tls'], outcome: TlsOutcome): Server | undefined {
  if (options === undefined) return undefined
  const required = options.requireClientCertificate ?? false
  const names = options.clientCommonNames
  if (names !== undefined && !required) {
    throw new UsageError('tls: clientCommonNames needs requireClientCertificate: true')
  }
  const server = createTlsServer(options, required)
  server.on('secureConnection', (socket) => {
    if (names !== undefined && !commonNames(socket).some((name) => names.includes(name))) {
      outcome.refuse(socket.remoteAddress, 'CLIENT_NAME_NOT_ALLOWED')
      socket.on('error', () => undefined)
      socket.destroy()
    } else {
      outcome.open(socket)
    }
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    outcome.refuse(socket.remoteAddress, error.code ?? 'TLS')
    socket.destroy()
  })
  return server
}

function createTlsServer(options: NonNullable<MllpSettings['tls']>, required: boolean): Server {
  const pem = {
    cert: readPem(options.certificate, 'tls.certificate'),
    key: readPem(options.key, 'tls.key'),
    ...(options.clientAuthorities !== undefined && {
      ca: readPem(options.clientAuthorities, 'tls.clientAuthorities'),
    }),
  }
  try {
    return createServer({
      ...pem,
      requestCert: required,
      rejectUnauthorized: required,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
    })
  } catch (error) {
    throw new UsageError(`tls: the certificate or key cannot be used: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    })
  }
}

const readPem = (value: string, option: string): string =>
  value.includes('-----BEGIN ') ? value : readPemFile(option, value)

function commonNames(socket: TLSSocket): readonly string[] {
  const name: unknown = socket.getPeerCertificate().subject?.CN
  return Array.isArray(name) ? (name as string[]) : typeof name === 'string' ? [name] : []
}
