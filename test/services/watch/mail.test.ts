import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { UsageError } from '../../../core/errors.js'
import { ChannelFault } from '../../../services/watch/channel.js'
import { watchFaults, type ChannelConfig } from '../../../services/watch/config.js'
import { mailChannel } from '../../../services/watch/mail.js'
import { ownAuthority, type OwnAuthority } from '../../gateway/authorities.js'
import { dueNotice } from './due-notices.js'

let ours: OwnAuthority
let other: OwnAuthority
const stopping: (() => Promise<void>)[] = []
beforeAll(() => {
  ours = ownAuthority('Synthetic mail authority')
  other = ownAuthority('Another synthetic authority')
})
afterAll(() => {
  for (const { close } of [ours, other]) close()
})
afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop()
})

interface MailServer {
  readonly port: number
  readonly mails: {
    readonly to: readonly string[]
    readonly text: string
    readonly secure: boolean
    readonly user: string
  }[]
}

/** A real SMTP server; its certificate is for localhost and 127.0.0.1. */
async function mailServer(options: SMTPServerOptions = {}): Promise<MailServer> {
  const mails: MailServer['mails'] = []
  const server = new SMTPServer({
    cert: readFileSync(ours.server.certFile),
    key: readFileSync(ours.server.keyFile),
    authOptional: true,
    onAuth: (auth, _session, callback) =>
      auth.username === 'hutong' && auth.password === 'synthetic-password'
        ? callback(null, { user: auth.username })
        : callback(new Error('wrong')),
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const to = session.envelope.rcptTo.map(({ address }) => address)
        const user = String(session.user ?? '')
        mails.push({ to, text: Buffer.concat(chunks).toString(), secure: session.secure, user })
        callback()
      })
    },
    ...options,
  })
  server.on('error', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  stopping.push(() => new Promise((resolve) => void server.close(() => resolve())))
  return { port: (server.server.address() as AddressInfo).port, mails }
}

/** A server that says what it is told to and nothing else. */
async function scripted(talk: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    talk(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stopping.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}

const configOf = (port: number, rest: Partial<ChannelConfig> = {}): ChannelConfig => ({
  type: 'smtp',
  host: '127.0.0.1',
  port,
  from: 'watch@example.invalid',
  to: ['duty@example.invalid'],
  ...rest,
})
const times = { mailMs: 20_000, stepMs: 15_000 }
const send = (config: ChannelConfig, notices = [dueNotice()], limits = times): Promise<number> =>
  mailChannel('watch.channels.mail', config, limits).send(notices, new AbortController().signal)

async function faultOf(sending: Promise<unknown>): Promise<string> {
  const error: unknown = await sending.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(ChannelFault)
  const { message } = error as Error
  expect(message, 'neither password, address nor text of the server').not.toMatch(/synthetic-password|@|Error:/)
  return message
}

const user = { username: 'hutong', password: 'synthetic-password' }

describe('mail', () => {
  test.each([
    { tls: 'none', secure: false, rest: {} },
    { tls: 'starttls', secure: true, rest: {} },
    { tls: 'implicit', secure: true, rest: { secure: true } },
  ] as const)(
    'goes out with a user over tls: $tls',
    async ({ tls, secure, rest }) => {
      const server = await mailServer({ allowInsecureAuth: true, authOptional: false, ...rest })
      const caFile = tls === 'none' ? {} : { caFile: ours.files.certFile }
      expect(await send(configOf(server.port, { tls, ...caFile, ...user }))).toBe(1)
      expect(server.mails).toMatchObject([{ to: ['duty@example.invalid'], secure, user: 'hutong' }])
      expect(server.mails[0]!.text).toMatch(/^Subject: =\?UTF-8\?/m)
    },
    60_000,
  )

  test('a wrong password is said, and what is often the cause of it', async () => {
    const server = await mailServer()
    const config = configOf(server.port, { caFile: ours.files.certFile, ...user, password: 'synthetic-password-2' })
    expect(await faultOf(send(config))).toMatch(/username and password \(535\).*授权码/)
    expect(server.mails).toEqual([])
  }, 60_000)

  test.each(['starttls', 'implicit'] as const)(
    'a certificate that is not trusted takes no mail: %s',
    async (tls) => {
      const server = await mailServer({ secure: tls === 'implicit' })
      for (const caFile of [undefined, other.files.certFile]) {
        const config = configOf(server.port, { tls, ...user, ...(caFile !== undefined && { caFile }) })
        expect(await faultOf(send(config))).toMatch(/certificate .* not trusted: name its authority as caFile/)
      }
      expect(server.mails).toEqual([])
    },
    60_000,
  )

  test('a server without STARTTLS gets neither password nor mail in the clear', async () => {
    const server = await mailServer({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true })
    const config = configOf(server.port, { tls: 'starttls', caFile: ours.files.certFile, ...user })
    expect(await faultOf(send(config))).toMatch(/does not offer STARTTLS/)
    expect(server.mails).toEqual([])
  }, 60_000)

  test('TLS on a port without it says which port is which', async () => {
    const server = await mailServer()
    const config = configOf(server.port, { tls: 'implicit', caFile: ours.files.certFile })
    expect(await faultOf(send(config))).toMatch(/implicit is for 465/)
  }, 60_000)

  test('a server that wants a user says so', async () => {
    const server = await mailServer({ authOptional: false })
    const config = configOf(server.port, { caFile: ours.files.certFile })
    expect(await faultOf(send(config))).toMatch(/wants a user \(530\)/)
  }, 60_000)

  test('a server that puts off (greylisting, 451) is tried again and takes it then', async () => {
    let calls = 0
    const server = await mailServer({
      onRcptTo: (_address, _session, callback) => {
        calls++
        callback(calls > 1 ? null : Object.assign(new Error('later'), { responseCode: 451 }))
      },
    })
    const channel = mailChannel('m', configOf(server.port, { tls: 'none' }), times)
    const { signal } = new AbortController()
    expect(await faultOf(channel.send([dueNotice()], signal))).toMatch(/try again later \(451\)/)
    expect(await channel.send([dueNotice()], signal)).toBe(1)
    expect(server.mails).toHaveLength(1)
  }, 60_000)

  test('who took the mail gets it no second time while another is put off; who is refused for good is not asked again', async () => {
    const seen: string[] = []
    const server = await mailServer({
      onRcptTo: ({ address }, _session, callback) => {
        seen.push(address.split('@')[0]!)
        const count = seen.filter((one) => one === address.split('@')[0]).length
        const code = address.startsWith('gone') ? 550 : address.startsWith('grey') && count === 1 ? 451 : undefined
        callback(code === undefined ? null : Object.assign(new Error('no'), { responseCode: code }))
      },
    })
    const to = ['duty@example.invalid', 'grey@example.invalid', 'gone@example.invalid']
    const channel = mailChannel('m', configOf(server.port, { tls: 'none', to }), times)
    const { signal } = new AbortController()
    expect(await faultOf(channel.send([dueNotice()], signal))).toMatch(/451/)
    expect(await channel.send([dueNotice()], signal)).toBe(1)
    expect(server.mails.map((mail) => mail.to)).toEqual([['duty@example.invalid'], ['grey@example.invalid']])
  }, 60_000)

  test('a server that hangs, at once or byte by byte, is left after a bounded time', async () => {
    const short = { mailMs: 3000, stepMs: 500 }
    const silent = await scripted(() => undefined)
    expect(await faultOf(send(configOf(silent, { tls: 'none' }), [dueNotice()], short))).toMatch(/does not answer/)
    // each line keeps the connection alive, and none ends the answer
    const dripping = await scripted((socket) => {
      socket.write('220 stub ESMTP\r\n')
      socket.once('data', () => {
        const drip = setInterval(() => socket.write('250-wait\r\n'), 100)
        socket.on('close', () => clearInterval(drip))
      })
    })
    const sending = send(configOf(dripping, { tls: 'none' }), [dueNotice()], { mailMs: 1000, stepMs: 15_000 })
    expect(await faultOf(sending)).toMatch(/did not finish within 1 s/)
  }, 60_000)

  test('nobody there', async () => {
    const port = await scripted((socket) => socket.destroy())
    expect(await faultOf(send(configOf(port, { tls: 'none' })))).toMatch(/look at host, port/)
    await stopping.pop()!()
    expect(await faultOf(send(configOf(port, { tls: 'none' })))).toMatch(/nobody answers/)
  }, 60_000)

  test('a caFile of no use is an error of the configuration, before any mail', () => {
    const opening = (): unknown => mailChannel('watch.channels.mail', configOf(25, { caFile: '/nowhere/ca.pem' }))
    expect(opening).toThrow(UsageError)
    expect(opening).toThrow('watch.channels.mail.caFile: cannot read /nowhere/ca.pem: ENOENT')
  })

  test('settings that contradict each other are named', () => {
    const faults = (rest: Partial<ChannelConfig>): unknown => watchFaults({ channels: { mail: configOf(25, rest) } })
    expect(faults({})).toEqual([])
    expect(faults({ username: 'hutong' })).toMatchObject([{ message: expect.stringContaining('belong together') }])
    expect(faults({ tls: 'none', caFile: 'ca.pem' })).toMatchObject([{ path: '/channels/mail/caFile' }])
  })
})
