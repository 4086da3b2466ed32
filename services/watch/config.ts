import { Type, type Static } from '@sinclair/typebox'
import { alertKinds } from './judge.js'
import { windowFault } from './maintenance.js'

const closed = { additionalProperties: false }
const text = (description: string) => Type.String({ description, minLength: 1 })
const names = (description: string) => Type.Optional(Type.Array(Type.String({ minLength: 1 }), { description }))
const number = (description: string, value: number, minimum: number) =>
  Type.Optional(Type.Number({ description, default: value, minimum }))

const channel = Type.Object(
  {
    type: Type.Union(
      ['dingtalk', 'wecom', 'feishu', 'webhook', 'smtp'].map((type) =>
        Type.Literal(type as 'dingtalk' | 'wecom' | 'feishu' | 'webhook' | 'smtp'),
      ),
      { description: 'DingTalk 钉钉, WeCom 企业微信 or Feishu 飞书 group robot, generic JSON webhook, or mail' },
    ),
    url: Type.Optional(
      text(
        'Address of the robot or webhook (not smtp); it holds a token: write ${NAME} to take it from the environment',
      ),
    ),
    secret: Type.Optional(
      text(
        'Signing secret: DingTalk and Feishu 加签; a generic webhook is signed with HMAC-SHA256 in X-Hutong-Signature',
      ),
    ),
    language: Type.Optional(
      Type.Union([Type.Literal('zh'), Type.Literal('en')], { description: 'Language of the text', default: 'zh' }),
    ),
    host: Type.Optional(text('Mail server (smtp)')),
    port: Type.Optional(Type.Integer({ description: 'Port of the mail server (smtp)', minimum: 1, maximum: 65_535 })),
    tls: Type.Optional(
      Type.Union([Type.Literal('implicit'), Type.Literal('starttls'), Type.Literal('none')], {
        description:
          'implicit (port 465), starttls (required, port 587) or none, for a server on the own network (smtp)',
        default: 'starttls',
      }),
    ),
    caFile: Type.Optional(
      text('Authority of the mail server’s certificate, PEM file, in place of those that Node trusts (smtp)'),
    ),
    username: Type.Optional(text('User of the mail server (smtp)')),
    password: Type.Optional(text('Password of the mail server (smtp); write ${NAME}')),
    from: Type.Optional(text('Sender of the mails (smtp)')),
    to: names('Receivers of the mails (smtp)'),
  },
  closed,
)

/** Configuration of the watch role. */
export const watchConfig = Type.Object(
  {
    probability: Type.Optional(
      Type.Number({
        description: 'A silence less probable than this under the feed’s own habit is an alert',
        default: 1e-6,
        exclusiveMinimum: 0,
        maximum: 0.01,
      }),
    ),
    intervalSeconds: number('How often feeds are judged, seconds', 60, 5),
    clockJumpMinutes: number('A sender’s clock that moves by more than this is an alert, minutes', 5, 1),
    holidays: Type.Optional(text('Holiday file in place of the one that comes with the product')),
    repeatMinutes: number('An alert that nobody acknowledges is told again after this, minutes', 240, 5),
    escalateAfterMinutes: number('… and told to escalateTo after this, minutes', 60, 1),
    minimumVolumes: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object(
          {
            messages: Type.Integer({ description: 'Messages at least', minimum: 1 }),
            hours: Type.Integer({ description: 'within this time, hours', minimum: 1, maximum: 336 }),
            everyDay: Type.Optional(
              Type.Boolean({ description: 'Weekends and public holidays count as well', default: false }),
            ),
          },
          closed,
        ),
        { description: 'Feed name to the least it must send' },
      ),
    ),
    maintenance: Type.Optional(
      Type.Array(
        Type.Object(
          {
            feeds: names('Feeds it concerns; with hospitals left out too, all'),
            hospitals: names('Hospitals it concerns'),
            from: text('2026-05-01T02:00 once, or 02:00 every week; clock of +08:00'),
            to: text('End, in the same form; a time before `from` is the next day'),
            weekdays: Type.Optional(
              Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), {
                description: 'Weekdays on which it begins, 1 Monday to 7 Sunday; every day where left out',
              }),
            ),
          },
          closed,
        ),
        { description: 'Times in which nothing is expected and no alert is opened' },
      ),
    ),
    channels: Type.Optional(Type.Record(Type.String(), channel, { description: 'Ways to tell people, by name' })),
    routes: Type.Optional(
      Type.Array(
        Type.Object(
          {
            hospitals: names('Institution codes; any where left out'),
            feeds: names('Feeds; any where left out'),
            kinds: Type.Optional(
              Type.Array(Type.Union(alertKinds.map((kind) => Type.Literal(kind))), {
                description: `Kinds of alert (${alertKinds.join(', ')}); any where left out`,
              }),
            ),
            channels: Type.Array(Type.String(), { description: 'Told when it opens, repeats and ends', minItems: 1 }),
            escalateTo: names('Told as well where nobody acknowledges in time'),
          },
          closed,
        ),
        { description: 'Who is told of what; every route that takes an alert is followed' },
      ),
    ),
  },
  { ...closed, description: 'Silence, sequence and clock of the feeds, and whom to tell (role watch)' },
)
export type WatchConfig = Static<typeof watchConfig>
export type ChannelConfig = Static<typeof channel>

/** What types cannot say: each fault with its JSON pointer under `watch`. */
export function watchFaults(config: WatchConfig): readonly { readonly path: string; readonly message: string }[] {
  const faults: { readonly path: string; readonly message: string }[] = []
  const known = Object.keys(config.channels ?? {})
  for (const [name, { type, url, host, from, to, ...channel }] of Object.entries(config.channels ?? {})) {
    const path = `/channels/${name}`
    if (type === 'smtp') {
      if (host === undefined || from === undefined || to === undefined || to.length === 0)
        faults.push({ path, message: 'a mail channel needs host, from and to' })
      if ((channel.username === undefined) !== (channel.password === undefined))
        faults.push({ path, message: 'username and password belong together' })
      if (channel.caFile !== undefined && channel.tls === 'none')
        faults.push({ path: `${path}/caFile`, message: 'is of no use with tls: none' })
    } else if (type === 'wecom' && channel.secret !== undefined) {
      faults.push({ path: `${path}/secret`, message: 'robots of WeCom sign nothing: the key stands in url' })
    } else if (url === undefined || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      faults.push({ path, message: `a ${type} channel needs url: https://…` })
    }
  }
  for (const [index, { channels, escalateTo }] of (config.routes ?? []).entries()) {
    for (const name of [...channels, ...(escalateTo ?? [])]) {
      if (known.includes(name)) continue
      faults.push({ path: `/routes/${index}`, message: `no channel ${name}; known: ${known.join(', ') || 'none'}` })
    }
  }
  for (const [index, window] of (config.maintenance ?? []).entries()) {
    const fault = windowFault(window)
    if (fault !== undefined) faults.push({ path: `/maintenance/${index}`, message: fault })
  }
  return faults
}
