import { createTransport } from 'nodemailer'
import { readCertificates } from '../../core/certificates.js'
import { ChannelFault, type Channel } from './channel.js'
import type { ChannelConfig } from './config.js'
import { composeText } from './digest.js'
import { noticeLine } from './notice-text.js'

/** Time for one mail from the connection to the last answer, ms; and for each step of it. */
const mailMs = 60_000
const stepMs = 15_000

const mailLimits = { bytesMax: 200_000, linesMax: 1000 }

/** Times of a mail channel, ms, for tests. */
export interface MailTimes {
  readonly mailMs: number
  readonly stepMs: number
}

/**
 * Mail over SMTP: STARTTLS (RFC 3207) unless `tls` says otherwise, never in the clear where TLS was asked for. A receiver
 * who took a mail gets it no second time because the server put off another one. @throws UsageError for a caFile of no use
 */
export function mailChannel(setting: string, config: ChannelConfig, times: MailTimes = { mailMs, stepMs }): Channel {
  const { host, tls = 'starttls', username, password, from, to = [], caFile, language = 'zh' } = config
  const ca = caFile === undefined ? undefined : readCertificates(`${setting}.caFile`, caFile)
  const transport = createTransport({
    host: host ?? '',
    port: config.port ?? { implicit: 465, starttls: 587, none: 25 }[tls],
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    connectionTimeout: times.stepMs,
    greetingTimeout: times.stepMs,
    socketTimeout: times.stepMs,
    dnsTimeout: times.stepMs,
    tls: { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) },
    ...(username !== undefined && { auth: { user: username, pass: password ?? '' } }),
  })
  /** Who has taken a notice while others had still to be tried again. */
  const taken = new Map<number, readonly string[]>()
  return {
    spacingMs: 1000,
    async send(notices, signal) {
      const { text, told } = composeText(notices, language, mailLimits)
      const first = noticeLine(notices[0]!, language)
      const telling = notices.slice(0, told)
      const receivers = to.filter((one) => !telling.every((notice) => taken.get(notice.noticeId)?.includes(one)))
      const limit = AbortSignal.any([signal, AbortSignal.timeout(times.mailMs)])
      const mail = {
        from: from ?? '',
        to: receivers,
        subject: telling.length === 1 ? first : `${first} (+${telling.length - 1})`,
        text: `${text}\n`,
        signal: limit,
      }
      if (receivers.length > 0) {
        const { accepted, putOff } = await transport.sendMail(mail).then(outcomeOf, (error: unknown) => {
          throw limit.aborted && !signal.aborted ? tooSlow(times.mailMs) : mailFault(error, tls)
        })
        if (putOff !== undefined) {
          for (const { noticeId } of telling) taken.set(noticeId, [...(taken.get(noticeId) ?? []), ...accepted])
          throw mailFault(putOff, tls)
        }
      }
      for (const { noticeId } of telling) taken.delete(noticeId)
      return told
    },
  }
}

interface SmtpError {
  readonly code?: string
  readonly responseCode?: number
  readonly command?: string
  readonly message?: string
}

/** Where some receivers were taken and others not. Who is refused for good is not tried again. */
function outcomeOf(info: unknown): { readonly accepted: readonly string[]; readonly putOff: SmtpError | undefined } {
  const { accepted = [], rejectedErrors = [] } = info as {
    accepted?: (string | { address: string })[]
    rejectedErrors?: SmtpError[]
  }
  return {
    accepted: accepted.map((one) => (typeof one === 'string' ? one : one.address)),
    putOff: rejectedErrors.find(({ responseCode = 0 }) => responseCode >= 400 && responseCode < 500),
  }
}

const tooSlow = (ms: number): ChannelFault =>
  new ChannelFault(`the mail server did not finish within ${ms / 1000} s: look at what it does, or at the line to it`)

/** What a failed mail says and what to do. Texts of the server stay out, for they may quote addresses. */
function mailFault(error: unknown, tls: NonNullable<ChannelConfig['tls']>): ChannelFault {
  const fault = error as SmtpError
  return new ChannelFault(sentenceOf(fault, tls), { cause: error })
}

function sentenceOf({ code, responseCode, command = '', message = '' }: SmtpError, tls: string): string {
  const said = responseCode === undefined ? '' : ` (${responseCode})`
  if (/certificate|altnames|CERT_/i.test(`${message} ${code}`)) {
    return 'the certificate of the mail server is not trusted: name its authority as caFile, or write host as in the certificate'
  }
  if (/wrong version number|packet length too long|EPROTO|SSL routines/i.test(`${message} ${code}`)) {
    return 'the mail server does not speak TLS like this on this port: tls: implicit is for 465, tls: starttls for 587'
  }
  if (code === 'EAUTH' || command.startsWith('AUTH')) {
    return responseCode !== undefined && responseCode < 500
      ? `the mail server asks to try again later${said}`
      : `the mail server does not accept username and password${said}: look at them; many services want an authorisation code (授权码) in place of the password`
  }
  if (code === 'ETLS' || (command === 'STARTTLS' && responseCode !== undefined)) {
    return 'the mail server does not offer STARTTLS: use its port for TLS with tls: implicit, or tls: none on a network of your own'
  }
  if (responseCode === 530) {
    return tls === 'none'
      ? 'the mail server wants TLS or a user (530): set tls: starttls, username and password'
      : 'the mail server wants a user (530): set username and password'
  }
  if (responseCode !== undefined && responseCode >= 400 && responseCode < 500) {
    return `the mail server asks to try again later${said}`
  }
  if (code === 'EENVELOPE') return `the mail server refuses sender or receivers${said}: look at from and to`
  if (responseCode !== undefined) return `the mail server refuses the mail${said}: ask who runs it`
  if (code === 'ETIMEDOUT') {
    return 'the mail server does not answer: look at host and port (465 wants tls: implicit) and at the firewall'
  }
  if (code === 'EDNS' || /ENOTFOUND|EAI_AGAIN/.test(message)) {
    return 'the name of the mail server is not known: look at host and at the name service'
  }
  if (/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/.test(`${message} ${code}`)) {
    return 'nobody answers at the mail server: look at host, port and the firewall'
  }
  return `the mail server broke off (${code ?? 'failed'}): look at host, port and tls`
}
