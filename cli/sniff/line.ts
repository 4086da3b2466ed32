import { open, type FileHandle } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { RetryableError, UsageError } from '../../core/errors.js'
import type { LineReport } from './report.js'

/** What is held of one connection; the rest is counted and let go. */
const heldBytesMax = 16 * 1024 * 1024
const connectionsMax = 64

export interface LineOptions {
  readonly host: string
  readonly port: number
  readonly waitMs: number
  /** A file the bytes are recorded to as they come; nothing is recorded where left out. */
  readonly saveTo?: string
  readonly force?: boolean
  readonly progress: (bytes: number, connections: number) => void
  readonly signal?: AbortSignal
}

export interface Heard {
  readonly report: LineReport
  /** The beginning of what each connection said. */
  readonly streams: readonly Buffer[]
}

/** `host:port`, or undefined where the text is none; an IPv6 address stands in brackets. */
export function addressOf(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:/\\\s]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  return port >= 1 && port <= 65_535 ? { host: match[1] ?? match[2] ?? '', port } : undefined
}

/**
 * Connects, sends nothing, and takes what the peer says until it closes, `waitMs` is over or enough is held.
 * @throws RetryableError where nobody answers there
 */
export async function hearPeer(options: LineOptions): Promise<Heard> {
  const recorder = await openRecorder(options)
  const started = Date.now()
  const stream = new Stream()
  let closedBy: LineReport['closedBy'] = 'us'
  const socket = connect({ host: options.host, port: options.port })
  try {
    await connected(socket, options)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, options.waitMs)
      const done = (): void => {
        clearTimeout(timer)
        resolve()
      }
      options.signal?.addEventListener('abort', done, { once: true })
      socket.on('data', (chunk: Buffer) => {
        stream.push(chunk)
        recorder?.push(chunk)
        options.progress(stream.bytes, 1)
        if (stream.bytes >= heldBytesMax) done()
      })
      socket.on('close', () => {
        closedBy = 'peer'
        done()
      })
      socket.on('error', () => undefined)
    })
  } finally {
    socket.destroy()
    await recorder?.close()
  }
  return heard('connected', [stream], started, closedBy, options)
}

/**
 * Waits for senders on a port of its own and takes what they say. Nothing is ever answered: what is not stored by a feed
 * must not be acknowledged, so that a sender keeps its message and sends it again to the real receiver.
 * @throws UsageError where the port cannot be taken
 */
export async function hearSenders(
  options: LineOptions & { readonly listening?: (port: number) => void },
): Promise<Heard> {
  const recorder = await openRecorder(options)
  const started = Date.now()
  const streams: Stream[] = []
  const sockets = new Set<Socket>()
  const bytes = (): number => streams.reduce((sum, stream) => sum + stream.bytes, 0)
  let enough: () => void = () => undefined
  const server = createServer((socket) => {
    if (streams.length >= connectionsMax) {
      socket.destroy()
      return
    }
    const stream = new Stream()
    streams.push(stream)
    sockets.add(socket)
    socket.on('data', (chunk: Buffer) => {
      stream.push(chunk)
      recorder?.push(chunk)
      options.progress(bytes(), streams.length)
      if (bytes() >= 4 * heldBytesMax) enough()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
  })
  try {
    options.listening?.(await listening(server, options))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, options.waitMs)
      enough = () => {
        clearTimeout(timer)
        resolve()
      }
      if (options.signal?.aborted === true) enough()
      options.signal?.addEventListener('abort', enough, { once: true })
    })
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await recorder?.close()
  }
  return heard('listened', streams, started, 'us', options)
}

function heard(
  mode: LineReport['mode'],
  streams: readonly Stream[],
  started: number,
  closedBy: LineReport['closedBy'],
  { saveTo }: LineOptions,
): Heard {
  const speaking = streams.filter((stream) => stream.bytes > 0)
  return {
    report: {
      mode,
      spokeFirst: speaking.length > 0 ? 'peer' : 'nobody',
      connections: streams.length,
      bytes: speaking.reduce((sum, stream) => sum + stream.bytes, 0),
      seconds: Math.round((Date.now() - started) / 1000),
      closedBy,
      savedTo: saveTo ?? null,
    },
    streams: speaking.map((stream) => stream.content()),
  }
}

class Stream {
  bytes = 0
  #held = 0
  readonly #chunks: Buffer[] = []

  push(chunk: Buffer): void {
    this.bytes += chunk.length
    const kept = chunk.subarray(0, Math.max(0, heldBytesMax - this.#held))
    if (kept.length === 0) return
    this.#held += kept.length
    this.#chunks.push(kept)
  }

  content(): Buffer {
    return Buffer.concat(this.#chunks)
  }
}

interface Recorder {
  push(chunk: Buffer): void
  /** @throws UsageError where something could not be written */
  close(): Promise<void>
}

/** Chunks in the order of their arrival; readable by nobody else, for they are patients' data. */
async function openRecorder({ saveTo, force = false }: LineOptions): Promise<Recorder | undefined> {
  if (saveTo === undefined) return undefined
  const file: FileHandle = await open(saveTo, force ? 'w' : 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(
      error.code === 'EEXIST'
        ? `${saveTo} is there already; --force overwrites it`
        : `cannot write ${saveTo}: ${error.message}`,
    )
  })
  let fault: Error | undefined
  let last: Promise<unknown> = Promise.resolve()
  return {
    push(chunk) {
      last = last
        .then(() => file.writeFile(chunk))
        .catch((error: Error) => {
          fault ??= error
        })
    },
    async close() {
      await last
      await file.sync().catch((error: Error) => {
        fault ??= error
      })
      await file.close()
      if (fault !== undefined) throw new UsageError(`cannot write ${saveTo}: ${fault.message}`)
    },
  }
}

function connected(socket: Socket, { host, port, waitMs }: LineOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('no answer'), Math.max(1000, waitMs))
    const fail = (why: string): void => {
      clearTimeout(timer)
      reject(new RetryableError(`cannot connect to ${host}:${port}: ${why}`))
    }
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message))
  })
}

function listening(server: Server, { host, port }: LineOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new UsageError(`cannot listen on ${host}:${port}: ${error.code ?? error.message}`)),
    )
    server.listen(port, host, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}
