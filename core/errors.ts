/**
 * Three outcomes, decided by type: RetryableError (the offset stays), RecordError (this record alone goes to the dead
 * letters), anything else is a bug (crash, restart, resume). RefusedError is the receiver's: not stored, and the
 * sender is told so.
 */

/** Where in the source a fault lies: HL7 segment name with its ordinal, and the field as `OBX-5`, or a column. */
export interface FaultPlace {
  readonly segment?: string
  readonly field?: string
}

export interface RecordErrorText {
  readonly en: string
  readonly zh: string
  /** What the reader of the dead letter does about it. */
  readonly doEn: string
  readonly doZh: string
}

/** The closed list of record error codes. docs/errors.md is generated from it. */
export const recordErrors = {
  'charset-undecodable': {
    en: 'The bytes decode strictly in none of the charsets tried',
    zh: '字节无法按任何候选字符集严格解码',
    doEn: "declare the sender's real charset in the feed (charset:), then redrive",
    doZh: '在该来源配置中声明真实字符集（charset:），然后重投',
  },
  'charset-ambiguous': {
    en: 'Two charsets read these bytes plausibly and differently',
    zh: '两种字符集都能读通且结果不同',
    doEn: "declare the sender's charset in the feed (charset:), then redrive",
    doZh: '在该来源配置中声明字符集（charset:），然后重投',
  },
  'hl7-no-msh': {
    en: 'No MSH segment at the start of the message',
    zh: '消息开头没有 MSH 段',
    doEn: 'check that the sender frames one HL7 message per block and starts it with MSH',
    doZh: '检查发送方是否每帧一条 HL7 消息并以 MSH 开头',
  },
  'hl7-bad-delimiters': {
    en: 'MSH-1 or MSH-2 does not declare usable delimiters',
    zh: 'MSH-1 或 MSH-2 未声明可用的分隔符',
    doEn: 'have the sender write MSH-1 and MSH-2 as HL7 v2 section 2.5.4 asks, usually |^~\\&',
    doZh: '请发送方按 HL7 v2 2.5.4 节填写 MSH-1、MSH-2，通常为 |^~\\&',
  },
  'hl7-several-messages': {
    en: 'More than one message stands where one was expected',
    zh: '应为一条消息之处出现多条消息',
    doEn: 'have the sender frame each message on its own, or receive it as a batch file',
    doZh: '请发送方逐条成帧，或按批文件接收',
  },
  'hl7-bad-segment': {
    en: 'A line is not an HL7 segment',
    zh: '某行不是 HL7 段',
    doEn: 'look for a raw line break inside a field; the sender must escape it as \\.br\\ or \\X0D\\',
    doZh: '检查字段内是否有裸换行；发送方应转义为 \\.br\\ 或 \\X0D\\',
  },
  'hl7-message-type-missing': {
    en: 'MSH-9 is empty, so nobody can say what this message is',
    zh: 'MSH-9 为空，无法判断消息类型',
    doEn: 'have the sender fill MSH-9 (for results ORU^R01)',
    doZh: '请发送方填写 MSH-9（结果类为 ORU^R01）',
  },
  'astm-no-header': {
    en: 'The message does not begin with an H record',
    zh: '消息开头没有 H 记录',
    doEn: 'check that the analyser sends LIS2-A2 (ASTM E1394) records, H first, and that no frame before them was lost',
    doZh: '检查仪器是否按 LIS2-A2（ASTM E1394）以 H 记录开头发送，且之前没有丢帧',
  },
  'astm-bad-delimiters': {
    en: 'The H record does not declare usable delimiters',
    zh: 'H 记录未声明可用的分隔符',
    doEn: 'have the analyser write H-2 as LIS2-A2 section 5.4.8 asks, usually |\\^&',
    doZh: '请仪器按 LIS2-A2 5.4.8 节填写 H-2，通常为 |\\^&',
  },
  'astm-bad-record': {
    en: 'A line is not a record of LIS2-A2',
    zh: '某行不是 LIS2-A2 记录',
    doEn: 'look for a raw line break inside a field, or a frame boundary inside a record that was sent as ETX, not ETB',
    doZh: '检查字段内是否有裸换行，或记录中途分帧却以 ETX 而非 ETB 结束',
  },
  'astm-unfinished': {
    en: 'The message was cut off before its L record',
    zh: '消息在 L 记录之前中断',
    doEn: 'send the results of this specimen again from the analyser; what had arrived is kept here',
    doZh: '请在仪器上重新发送该标本结果；已收到的部分保存在此',
  },
  'message-too-large': {
    en: 'The message is larger than this feed accepts',
    zh: '消息超过该来源允许的大小',
    doEn: 'raise maxMessageBytes of the feed, or have the sender move documents out of the message',
    doZh: '调大该来源的 maxMessageBytes，或请发送方将文档移出消息',
  },
  'xml-malformed': {
    en: 'The document is not well-formed XML',
    zh: '文档不是格式良好的 XML',
    doEn: 'have the sender write well-formed XML; the line named here is where reading ended',
    doZh: '请发送方输出格式良好的 XML；读取在此处所列行中止',
  },
  'segment-missing': {
    en: 'A segment that this message type needs is missing',
    zh: '缺少该类消息必需的段',
    doEn: 'have the sender add the segment named here',
    doZh: '请发送方补充此处所列的段',
  },
  'patient-id-missing': {
    en: 'No patient identifier in any of the fields this feed reads it from',
    zh: '在配置的各字段中都找不到患者标识',
    doEn: 'have the sender fill PID-3, or list the field that carries it under patientIdFrom of the feed',
    doZh: '请发送方填写 PID-3，或在来源配置 patientIdFrom 中列出实际字段',
  },
  'report-number-missing': {
    en: 'No report number in any of the fields this feed reads it from',
    zh: '在配置的各字段中都找不到报告单号',
    doEn: 'have the sender fill OBR-3, or list the field that carries it under reportNumberFrom of the feed',
    doZh: '请发送方填写 OBR-3，或在来源配置 reportNumberFrom 中列出实际字段',
  },
  'report-key-conflict': {
    en: 'This report number already belongs to another patient of this hospital',
    zh: '该报告单号已属于本院另一患者',
    doEn: 'if the LIS recycles numbers, set reportNumberRecycles to day or year; if reports may move, set allowMove; then redrive',
    doZh: '如 LIS 循环使用单号，设置 reportNumberRecycles 为 day 或 year；如允许改归属，设置 allowMove；然后重投',
  },
  'field-invalid': {
    en: 'A field that is needed cannot be read as what it must be',
    zh: '必需字段的内容无法按规定格式读取',
    doEn: 'have the sender correct the field named here',
    doZh: '请发送方更正此处所列字段',
  },
  'merge-incomplete': {
    en: 'A merge names only one of its two patients',
    zh: '患者合并消息只给出一个患者',
    doEn: 'have the sender fill PID-3 (surviving) and MRG-1 (prior)',
    doZh: '请发送方填写 PID-3（保留）与 MRG-1（被合并）',
  },
  'frame-unreadable': {
    en: 'The record on the topic is not a readable Avro frame of this pipeline',
    zh: '主题中的记录不是本系统可读的 Avro 帧',
    doEn: 'find out who writes to this topic besides Hutong; the bytes are kept with the dead letter',
    doZh: '查明除互通外谁在写该主题；原始字节已随死信保存',
  },
  'frame-unknown-schema': {
    en: 'The schema id of the record is unknown to the registry',
    zh: '记录中的模式编号在注册中心不存在',
    doEn: 'register the schemas (hutong schemas register) or point the writer at the same registry, then redrive',
    doZh: '注册模式（hutong schemas register）或让写入方使用同一注册中心，然后重投',
  },
  'frame-hostile': {
    en: 'The record would expand beyond all bounds when decoded',
    zh: '记录解码后会无限膨胀',
    doEn: 'find out who writes to this topic; the record was not decoded',
    doZh: '查明写入方；该记录未被解码',
  },
  'object-missing': {
    en: 'The bytes this message refers to are not in the object store',
    zh: '消息引用的原始字节不在对象存储中',
    doEn: 'check that all roles share one object store, restore the object, then redrive',
    doZh: '检查各角色是否共用同一对象存储，恢复对象后重投',
  },
  'feed-unknown': {
    en: 'No configuration is known for the feed of this message',
    zh: '找不到该消息所属来源的配置',
    doEn: 'add the feed to the configuration of the parse role, then redrive',
    doZh: '在 parse 角色的配置中加入该来源，然后重投',
  },
  'feed-not-activated': {
    en: 'The feed is not activated in production: its message waits here and became no row',
    zh: '该来源尚未在正式环境启用：消息保留在此，未写入正式数据',
    doEn: 'activate the feed (hutong acceptance activate), then redrive what belongs to production',
    doZh: '启用该来源（hutong acceptance activate），然后重投属于正式环境的消息',
  },
  'row-refused': {
    en: 'The repository refused this row',
    zh: '数据库拒绝写入该行',
    doEn: 'read the database message kept here; correct the cause, then redrive',
    doZh: '查看此处保存的数据库信息，排除原因后重投',
  },
  'decrypt-failed': {
    en: 'The payload cannot be decrypted with the key it names',
    zh: '无法用所标密钥解密载荷',
    doEn: 'give this role the key named by keyId, then redrive',
    doZh: '为该角色配置 keyId 所标密钥，然后重投',
  },
} as const satisfies Record<string, RecordErrorText>

export type RecordErrorCode = keyof typeof recordErrors

/** This record alone is at fault: it goes to the dead letters, the rest of its batch goes on. */
export class RecordError extends Error {
  override readonly name = 'RecordError'
  constructor(
    readonly code: RecordErrorCode,
    /** One sentence: what was found and where. Never logged, for it may quote the message. */
    detail: string,
    readonly place: FaultPlace = {},
    options?: ErrorOptions,
  ) {
    super(`${recordErrors[code].en}: ${detail}`, options)
  }
}

/** Why a message is kept but not processed further; counted apart from errors. */
export const ignoreReasons = {
  'test-message': 'MSH-11 says test or training and this is a production environment',
  'message-type-not-used': 'this message type carries nothing the repository holds',
  'query-or-acknowledgement': 'a query, a response or an acknowledgement, not a report of facts',
  'no-content': 'the message is well formed but carries no order group to store',
  suppressed: 'the person has been erased and is on the suppression list',
} as const
export type IgnoreReason = keyof typeof ignoreReasons

/** Something outside is not there just now: back off, keep the offset, try again. */
export class RetryableError extends Error {
  override readonly name = 'RetryableError'
  constructor(message: string, options?: ErrorOptions & { readonly retryAfterMs?: number }) {
    super(message, options)
    this.retryAfterMs = options?.retryAfterMs
  }
  readonly retryAfterMs: number | undefined
}

export type RefusalReason =
  'too-large' | 'no-readable-msh' | 'stopping' | 'disk-full' | 'not-allowed' | 'bad-frame' | 'validation'

/** Not stored; the sender is told so and keeps the message. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  constructor(
    readonly reason: RefusalReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** The command line, a configuration or an address is wrong: the user can mend it. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
