/** Why the gateway did not take a batch: what the edge's engineer reads and does. Nothing is lost: the spool holds. */
export interface GatewayRefusalText {
  /** HTTP status of the answer. */
  readonly status: number
  readonly en: string
  readonly zh: string
  readonly doEn: string
  readonly doZh: string
}

/** The closed list of the gateway's refusals. docs/errors.md is generated from it. */
export const gatewayRefusals = {
  'certificate-missing': {
    status: 401,
    en: 'The edge showed no client certificate',
    zh: '该前置机未出示客户端证书',
    doEn: 'set uplink.certFile and uplink.keyFile; a proxy on the way must pass TLS through, not end it',
    doZh: '设置 uplink.certFile 与 uplink.keyFile；途中的代理必须透传 TLS，不得终结',
  },
  'certificate-expired': {
    status: 401,
    en: 'The client certificate is no longer, or not yet, valid',
    zh: '客户端证书已过期或尚未生效',
    doEn: 'give the edge a new certificate; look at the clocks of both machines first',
    doZh: '先核对两端机器的时钟，再为该前置机换发证书',
  },
  'certificate-untrusted': {
    status: 401,
    en: 'The client certificate was not issued by an authority this gateway trusts',
    zh: '客户端证书不是本网关信任的机构签发的',
    doEn: 'use a certificate of the authority in gateway.clientCaFile, with its intermediate certificates in certFile',
    doZh: '使用 gateway.clientCaFile 中机构签发的证书，并在 certFile 中附上中间证书',
  },
  'certificate-unnamed': {
    status: 403,
    en: 'The client certificate does not name exactly one edge (SAN URI urn:hutong:edge:<hospital>:<edge>)',
    zh: '客户端证书没有恰好指明一台前置机（SAN URI urn:hutong:edge:<医院>:<前置机>）',
    doEn: 'have the certificate issued again with that name',
    doZh: '请按该名称重新签发证书',
  },
  'certificate-revoked': {
    status: 403,
    en: 'The client certificate was revoked',
    zh: '客户端证书已被吊销',
    doEn: 'ask the province why; the edge comes back with a new token (hutong edge token) and hutong enrol',
    doZh: '向省平台询问原因；恢复须凭新令牌（hutong edge token）重新执行 hutong enrol',
  },
  'certificate-elsewhere': {
    status: 403,
    en: "The certificate is not one of this gateway's authority, and is not renewed here",
    zh: '该证书不是本网关所属机构签发的，不在此续期',
    doEn: 'have it renewed by who issued it, or enrol the edge with a token',
    doZh: '由原签发方续期，或凭令牌为该前置机重新登记',
  },
  'certificate-superseded': {
    status: 403,
    en: 'A later certificate of this edge is already in use',
    zh: '该前置机已在使用更新的证书',
    doEn: 'look for a second machine with the same identity; give each its own name and token',
    doZh: '查找是否有第二台机器使用同一身份；每台机器各用自己的名称与令牌',
  },
  'token-unknown': {
    status: 403,
    en: 'This province has given out no such token',
    zh: '省平台没有发出过这个令牌',
    doEn: 'copy the token again, or ask for a new one (hutong edge token)',
    doZh: '重新复制令牌，或申请新的令牌（hutong edge token）',
  },
  'token-expired': {
    status: 403,
    en: 'The token has expired',
    zh: '令牌已过期',
    doEn: 'ask for a new one (hutong edge token)',
    doZh: '申请新的令牌（hutong edge token）',
  },
  'token-used': {
    status: 403,
    en: 'The token has been used, with another key',
    zh: '令牌已被使用，且所用密钥不同',
    doEn: 'ask for a new one; where nobody of yours used it, have the edge revoked first (hutong edge revoke)',
    doZh: '申请新的令牌；若本院无人用过，请先吊销该前置机（hutong edge revoke）',
  },
  'csr-invalid': {
    status: 400,
    en: 'The request for a certificate cannot be granted',
    zh: '证书申请不能受理',
    doEn: 'send it with hutong enrol of this release',
    doZh: '用本版本的 hutong enrol 发送',
  },
  'too-many-attempts': {
    status: 429,
    en: 'Too many tokens were tried from this address that are none',
    zh: '该地址尝试了过多无效令牌',
    doEn: 'wait a minute; copy the token again',
    doZh: '等一分钟，再重新复制令牌',
  },
  'enrolment-unavailable': {
    status: 503,
    en: 'This gateway issues no certificates, or not just now',
    zh: '本网关不签发证书，或暂时不能签发',
    doEn: 'wait if the database of the province is away; otherwise gateway.authority is not configured there',
    doZh: '省平台数据库暂不可用时请等待；否则是网关未配置 gateway.authority',
  },
  'revocations-unknown': {
    status: 503,
    en: 'The gateway has not known for too long which edges are revoked',
    zh: '网关过久未能得知哪些前置机已被吊销',
    doEn: 'nothing at the edge; the province looks after its database',
    doZh: '前置机无需处理；由省平台处理其数据库',
  },
  'hospital-forged': {
    status: 403,
    en: 'A message says it is of another hospital than the client certificate',
    zh: '消息声称的医院与客户端证书不符',
    doEn: "correct hospital of the feed at the edge; it must be the certificate's",
    doZh: '更正前置机上该来源的 hospital，必须与证书一致',
  },
  'feed-unknown': {
    status: 403,
    en: "The gateway's configuration does not name this feed",
    zh: '网关的配置中没有这个来源',
    doEn: "add the feed, with its hospital, to the gateway's configuration and start it again",
    doZh: '在网关配置中加入该来源及其医院，然后重启网关',
  },
  'feed-of-another-hospital': {
    status: 403,
    en: "The gateway's configuration gives this feed to another hospital",
    zh: '网关的配置把这个来源归于另一家医院',
    doEn: 'rename the feed at the edge, for names are unique in a province, or correct its hospital at the gateway',
    doZh: '来源名称在全省唯一：在前置机上改名，或在网关上更正其医院',
  },
  'environment-mismatch': {
    status: 403,
    en: 'The batch is of another environment (production or test) than this gateway',
    zh: '批次所属环境（生产或测试）与本网关不同',
    doEn: 'point uplink.url at the gateway of this environment',
    doZh: '把 uplink.url 指向同一环境的网关',
  },
  'path-unknown': {
    status: 404,
    en: 'The gateway has no such path',
    zh: '网关没有这个路径',
    doEn: 'set uplink.url to https://host:port alone',
    doZh: 'uplink.url 只写 https://主机:端口',
  },
  'method-unknown': {
    status: 405,
    en: 'Batches are sent with POST',
    zh: '批次须用 POST 发送',
    doEn: 'let nothing but an edge talk to this port',
    doZh: '此端口只供前置机访问',
  },
  'too-slow': {
    status: 408,
    en: 'The body did not arrive in the time allowed',
    zh: '正文未在规定时间内到达',
    doEn: 'look at the line; raise gateway.requestTimeoutSeconds where it is as slow as that',
    doZh: '检查线路；线路确实这样慢时，调大 gateway.requestTimeoutSeconds',
  },
  'length-missing': {
    status: 411,
    en: 'Content-Length or Hutong-Decoded-Length is missing or no number',
    zh: '缺少 Content-Length 或 Hutong-Decoded-Length，或其值不是数字',
    doEn: 'a proxy on the way must leave the request as it is',
    doZh: '途中的代理不得改动请求',
  },
  'body-too-large': {
    status: 413,
    en: 'The batch is larger than this gateway takes, as sent or decoded',
    zh: '超过本网关接受的大小（发送时或解压后）',
    doEn: 'raise gateway.bodyMegabytesMax above the largest message of the feeds',
    doZh: '调大 gateway.bodyMegabytesMax，使其大于各来源的最大消息',
  },
  'encoding-unknown': {
    status: 415,
    en: 'The content type or encoding is none this gateway reads',
    zh: '内容类型或编码不是本网关能读的',
    doEn: 'update the gateway before the edges',
    doZh: '先升级网关，再升级前置机',
  },
  'body-unreadable': {
    status: 400,
    en: 'The body does not unpack to the length stated',
    zh: '正文解压后与所述长度不符',
    doEn: 'look for a device on the way that changes requests; the edge sends the batch again',
    doZh: '查找途中改动请求的设备；前置机会重发该批次',
  },
  'batch-unreadable': {
    status: 400,
    en: 'The body is no batch of this wire format',
    zh: '正文不是本传输格式的批次',
    doEn: 'update the gateway before the edges; see docs/uplink.md',
    doZh: '先升级网关，再升级前置机；见 docs/uplink.md',
  },
  'schema-unknown': {
    status: 400,
    en: 'The batch is written with a schema this gateway does not hold',
    zh: '批次所用的模式本网关没有',
    doEn: 'update the gateway before the edges',
    doZh: '先升级网关，再升级前置机',
  },
  'message-invalid': {
    status: 400,
    en: 'A message of the batch is not what an edge may send',
    zh: '批次中有一条消息不是前置机可以发送的',
    doEn: 'report it with the log of the gateway; the spool keeps the message',
    doZh: '连同网关日志一并报告；消息保留在前置机的缓存中',
  },
  'report-unreadable': {
    status: 400,
    en: 'The report of the edge has not the form this gateway reads',
    zh: '前置机的报告不是本网关能读的格式',
    doEn: 'update the gateway before the edges; see docs/operations/fleet.md',
    doZh: '先升级网关，再升级前置机；见 docs/operations/fleet.md',
  },
  'release-unknown': {
    status: 404,
    en: 'No rollout gives this edge such a package or configuration',
    zh: '没有任何发布计划把这个软件包或配置给这台前置机',
    doEn: 'nothing: the edge asks again what it should run',
    doZh: '无需处理：前置机会再次询问应运行什么',
  },
  'release-missing': {
    status: 503,
    en: 'The package or configuration is not, or not whole, in the folder of releases of this gateway',
    zh: '本网关的发布文件夹中没有这个软件包或配置，或文件不完整',
    doEn: 'nothing at the edge; at the province, let fleet.releasesDir be one folder for publishing and all gateways',
    doZh: '前置机无需处理；省平台须让 fleet.releasesDir 成为发布与所有网关共用的一个文件夹',
  },
  'edge-busy': {
    status: 429,
    en: 'This edge already has as many batches under way as it may',
    zh: '该前置机正在处理的批次已达上限',
    doEn: 'nothing, unless it lasts: then two processes use the same certificate',
    doZh: '无需处理；若持续出现，说明两个进程用了同一张证书',
  },
  overloaded: {
    status: 503,
    en: 'The gateway holds as many bytes as it may',
    zh: '网关正在处理的字节数已达上限',
    doEn: 'nothing; start a second gateway if it lasts',
    doZh: '无需处理；若持续出现，增加一个网关实例',
  },
  'log-away': {
    status: 503,
    en: 'The event log does not take messages just now',
    zh: '事件日志暂时不接收消息',
    doEn: 'nothing at the edge; the province looks after its event log',
    doZh: '前置机无需处理；由省平台处理其事件日志',
  },
  stopping: {
    status: 503,
    en: 'The gateway is stopping',
    zh: '网关正在停止',
    doEn: 'nothing; another instance, or this one, takes the batch later',
    doZh: '无需处理；另一实例或本实例稍后会接收',
  },
  fault: {
    status: 500,
    en: 'The gateway met a fault of its own',
    zh: '网关自身出现故障',
    doEn: 'report it with the log of the gateway',
    doZh: '连同网关日志一并报告',
  },
} as const satisfies Record<string, GatewayRefusalText>

export type GatewayRefusalCode = keyof typeof gatewayRefusals

export const isGatewayRefusalCode = (code: unknown): code is GatewayRefusalCode =>
  typeof code === 'string' && Object.hasOwn(gatewayRefusals, code)

/** The gateway does not take a batch; the edge keeps it and tries again. */
export class GatewayRefusal extends Error {
  override readonly name = 'GatewayRefusal'
  constructor(
    readonly code: GatewayRefusalCode,
    /** What was found: names of feeds, numbers and sizes, never content. */
    detail = '',
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions & { readonly record?: number },
  ) {
    super(detail === '' ? gatewayRefusals[code].en : `${gatewayRefusals[code].en}: ${detail}`, options)
    this.record = options?.record
  }

  /** Index in the batch, from 0, of the message or watermark it is about; undefined where it is about the whole. */
  readonly record: number | undefined

  /** The same of the record at this index of the batch. */
  at(record: number): GatewayRefusal {
    const detail = this.message.slice(gatewayRefusals[this.code].en.length + 2)
    return new GatewayRefusal(this.code, detail, this.retryAfterSeconds, { cause: this, record })
  }
}

/**
 * Code, meaning, what was found and what to do, for the edge's engineer. `told` is the message of the gateway's answer:
 * the English meaning, then what was found.
 */
export function refusalSentence(code: GatewayRefusalCode, told: string, language: 'zh' | 'en'): string {
  const { en, zh, doEn, doZh } = gatewayRefusals[code]
  const found = told.startsWith(`${en}: `) ? told.slice(en.length + 2) : ''
  if (language === 'zh') return `${code}：${zh}${found === '' ? '' : `（${found}）`}；处理办法：${doZh}`
  return `${code}: ${en}${found === '' ? '' : ` (${found})`}; what to do: ${doEn}`
}
