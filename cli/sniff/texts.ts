import type { Evidence, Family } from '../../connectors/survey/family.js'
import type { Advice, AdviceCode } from '../../connectors/survey/feed-draft.js'
import type { LineReport } from './report.js'

type Language = 'zh' | 'en'
type Both<K extends string> = Readonly<Record<K, Readonly<Record<Language, string>>>>

const both = (zh: string, en: string): Readonly<Record<Language, string>> => ({ zh, en })

const families: Both<Family> = {
  'hl7v2-mllp': both('HL7 v2(MLLP)', 'HL7 v2 over MLLP'),
  'hl7v2-batch': both('HL7 v2 批文件', 'HL7 v2 batch file'),
  hl7v2: both('HL7 v2 消息文件', 'HL7 v2 messages without framing'),
  'hl7-xml': both('HL7 XML(v3、CDA 或 v2xml)', 'HL7 XML (v3, CDA or v2xml)'),
  astm: both('ASTM/LIS2 仪器', 'ASTM/LIS2 analyser'),
  dicom: both('DICOM', 'DICOM'),
  http: both('HTTP', 'HTTP'),
  text: both('普通文本', 'plain text'),
  empty: both('空', 'empty'),
  unknown: both('未知', 'unknown'),
}

const evidences: Both<Evidence['code']> = {
  'mllp-frame': both('以 0x0B 开始的帧(前 64 KiB)', 'frames that begin with 0x0B, in the first 64 KiB'),
  'batch-header': both('批头', 'batch lines'),
  'msh-line': both('MSH 起始行(前 64 KiB)', 'MSH at the beginning of a line, in the first 64 KiB'),
  'msh-later': both('MSH 之前有其他内容', 'MSH after other text'),
  'utf-16': both('UTF-16', 'UTF-16'),
  'xml-root': both('XML 根元素', 'XML root'),
  'astm-frame': both('带校验和的 STX 帧', 'STX frames with a checksum'),
  'astm-header': both('H 记录', 'H record'),
  'astm-enquiry': both('以 ENQ 开始', 'begins with ENQ'),
  'dicom-preamble': both('偏移 128 处的 DICM', 'DICM at offset 128'),
  'dicom-dataset': both('数据集首元素', 'first element of a data set'),
  'dicom-pdu': both('协议数据单元', 'protocol data unit'),
  'http-request': both('请求行', 'request line'),
  'http-response': both('状态行', 'status line'),
  json: both('JSON', 'JSON'),
  columns: both('列', 'columns'),
  'plain-text': both('文本行', 'lines of text'),
  'file-magic': both('文件类型', 'file type'),
  tls: both('加密连接', 'encrypted'),
  'no-bytes': both('没有字节', 'no bytes'),
  'nothing-known': both('没有已知特征', 'nothing known'),
}

/** `%v` are the values, `%n` of `%m` the figures. */
const advices: Both<AdviceCode> = {
  'charset-header-lies': both(
    'MSH-18 与实际字符集不符(声明 %v):已在配置中写明 charset,如未写明则需人工确认',
    'MSH-18 says %v, the bytes are in another charset; the draft declares it where one charset reads everything',
  ),
  'charset-blank': both('MSH-18 为空,字符集由检测得出', 'MSH-18 is blank: the charset was detected'),
  'charset-unreadable': both(
    '不声明字符集时无法解码或有歧义,将被隔离',
    'cannot be decoded, or reads plausibly in two charsets: quarantined unless a charset is declared',
  ),
  'charset-several': both(
    '样本中混有多种字符集(%v):请为每个系统单独配置来源',
    'the sample mixes charsets (%v): configure a feed for each system',
  ),
  'charset-ascii-only': both(
    '样本全为 ASCII,无法判断中文字符集:请取含中文的样本',
    'the sample is all ASCII and says nothing of the charset: take one with Chinese text',
  ),
  'several-senders': both(
    '多个发送系统:若字符集或编号规则不同,请各建一个来源',
    'several sending systems: a feed for each where their charset or numbering differs',
  ),
  'unknown-type': both(
    '消息类型不属于 HL7(%v):见 messageTypeAliases',
    'a message type HL7 does not know (%v): see messageTypeAliases',
  ),
  'would-dead-letter': both('默认设置下将进入死信:%v', 'would be dead-lettered under default settings: %v'),
  'test-messages': both('MSH-11 为 T 或 D:正式环境中将被忽略', 'MSH-11 is T or D: ignored in a production environment'),
  'raw-line-breaks': both(
    '字段中有未转义的换行:见 rawLineBreaks',
    'line breaks inside fields that are not escaped: see rawLineBreaks',
  ),
  'enhanced-mode': both(
    '增强应答模式(MSH-15/16:%v):若对方实际等待 AA,请设 acknowledgement: original',
    'enhanced acknowledgement (MSH-15/16: %v): if the sender in fact waits for AA, set acknowledgement: original',
  ),
  'mixed-mode': both(
    'MSH-15/16 有时填写有时为空(%v):请核对对方等待的应答',
    'MSH-15/16 are filled in some messages only (%v): ask which answer the sender waits for',
  ),
  'patient-number-is-id': both(
    'PID-3 只有身份证号(类型 %v),没有院内患者号',
    'PID-3 carries ID numbers only (type %v), no number of the hospital’s own',
  ),
  'patient-number-type': both(
    'PID-3 的患者号类型不是 MR、PI、PT,已在配置中写明 %v',
    'the patient number in PID-3 is typed %v, not MR, PI or PT; the draft says so',
  ),
  'patient-authority': both(
    '患者号的分配机构为空或不一致(%v):配置中统一为本机构',
    'the assigning authority of the patient number is blank or differs (%v); the draft sets the hospital',
  ),
  'patient-number-blank': both('PID-3 为空', 'PID-3 is blank'),
  'patient-number-placeholder': both(
    'PID-3 为占位值(0、999… 等),会把不同患者并为一人:请厂商修正',
    'PID-3 is a placeholder (0, 999…): it makes different patients one; have the sender mend it',
  ),
  'id-number-invalid': both('身份证号校验不通过', 'ID numbers that fail their check digit or date'),
  'report-number-elsewhere': both(
    'OBR-3 为空,报告号取自 %v(默认规则已包含)',
    'OBR-3 is blank; the number comes from %v, which the default rules read',
  ),
  'report-number-missing': both(
    '没有任何报告号:将进入死信,请设 reportNumberFrom',
    'no report number in any field: dead-lettered; set reportNumberFrom',
  ),
  'report-number-recycles': both(
    '报告号按 %v 重复使用于不同患者',
    'report numbers are used again for other patients, never within one %v',
  ),
  'report-number-conflict': both(
    '同一报告号在同一天用于不同患者:将报冲突,请厂商说明',
    'one report number for several patients on one day: a conflict; ask the sender',
  ),
  corrections: both('含更正(C)', 'corrections (C)'),
  withdrawals: both('含撤回或作废(W、D、X)', 'withdrawals (W, D, X)'),
  'clock-future': both('MSH-7 晚于当前时间:核对对方时钟', 'MSH-7 lies in the future: look at the sender’s clock'),
  'clock-zone': both('MSH-7 的时区不是 +0800:%v', 'MSH-7 states another zone than +0800: %v'),
  'clock-unreadable': both(
    'MSH-7 为空或不可读:以接收时间代替',
    'MSH-7 is blank or unreadable: the receipt time is used',
  ),
  'report-time-blank': both('OBR-22 为空:以 MSH-7 判断新旧', 'OBR-22 is blank: MSH-7 decides which version is newer'),
  'control-id-reused': both(
    'MSH-10 重复使用于不同内容:不作为去重依据,仅计数',
    'MSH-10 used again for other content: counted, never a reason to drop',
  ),
  'control-id-blank': both('MSH-10 为空', 'MSH-10 is blank'),
  'control-id-dense': both(
    'MSH-10 为连续数字,可用于发现缺号',
    'MSH-10 counts without gaps: missing messages can be seen by it',
  ),
  'imaging-sender': both(
    '疑似检查系统(%v):见 localReportTypes',
    'looks like an imaging system (%v): see localReportTypes',
  ),
  'personal-data-in-codes': both(
    '编码字段中出现患者信息(已隐藏):请厂商修正',
    'coded fields repeat the patient’s own data (hidden here): have the sender mend it',
  ),
  'messages-too-large': both('超过 16 MiB,将被拒收', 'larger than 16 MiB: refused'),
}

const words = {
  title: both('样本', 'Sample'),
  files: both('文件', 'files'),
  unreadable: both('不可读', 'unreadable'),
  truncated: both('已达上限,其余未读(--messages)', 'the bound was reached, the rest is unread (--messages)'),
  family: both('协议', 'Family'),
  evidence: both('依据', 'Evidence'),
  messages: both('消息', 'Messages'),
  sizes: both('大小(最小/中位/95%/最大,字节)', 'Size (least/median/95%/most, bytes)'),
  lineEnds: both('行结束符', 'Line ends'),
  delimiters: both('分隔符', 'Delimiters'),
  versions: both('版本(MSH-12)', 'Version (MSH-12)'),
  senders: both('发送方(MSH-3 / MSH-4)', 'Senders (MSH-3 / MSH-4)'),
  acknowledgement: both('应答(MSH-15/16)', 'Acknowledgement (MSH-15/16)'),
  charset: both('字符集(MSH-18 → 实际)', 'Charset (MSH-18 → bytes)'),
  ascii: both('纯 ASCII', 'ASCII only'),
  types: both('消息类型', 'Message types'),
  identifiers: both('患者标识', 'Patient identifiers'),
  identifierColumns: both(
    '字段,类型,分配机构,数量,身份证有效,身份证无效,占位,长度',
    'field,type,authority,count,valid ID,invalid ID,placeholder,length',
  ),
  reports: both('报告号', 'Report numbers'),
  groups: both('报告组', 'order groups'),
  obr3Blank: both('OBR-3 为空', 'OBR-3 blank'),
  shared: both('跨患者重复', 'shared by patients'),
  controlIds: both('消息号(MSH-10)', 'Control ids (MSH-10)'),
  dense: both('连续数字', 'numeric, dense'),
  sparse: both('数字,不连续', 'numeric, with gaps'),
  'not-numeric': both('非数字', 'not numeric'),
  none: both('无', 'none'),
  repeated: both('原样重发', 'repeated'),
  reused: both('另有内容', 'reused'),
  length: both('长度', 'length'),
  zones: both('MSH-7 时区', 'Zones of MSH-7'),
  noZone: both('未写明', 'not stated'),
  valueTypes: both('值类型(OBX-2)', 'Value types (OBX-2)'),
  resultStatus: both('结果状态(OBX-11)', 'Result status (OBX-11)'),
  reportStatus: both('报告状态(OBR-25)', 'Report status (OBR-25)'),
  sections: both('专业(OBR-24)', 'Sections (OBR-24)'),
  units: both('单位(OBX-6)', 'Units (OBX-6)'),
  blank: both('(空)', '(blank)'),
  unknownUnit: both('目录不识', 'unknown'),
  ambiguousUnit: both('大小写含混', 'ambiguous'),
  codes: both('本地编码(OBX-3、OBR-4)', 'Local codes (OBX-3, OBR-4)'),
  mapped: both('已识别', 'read as'),
  proposal: both('建议', 'proposal'),
  nothing: both('目录中无相近项目', 'nothing near'),
  more: both('其余见 --json', 'more with --json'),
  advice: both('需要注意', 'To know and to decide'),
  written: both('已写出', 'Written'),
  next: both('下一步', 'Next'),
  noHl7: both(
    '没有 HL7 v2 消息。本版本的连接器读取 HL7 v2(MLLP 与文件)。',
    'No HL7 v2 message. The connectors of this version read HL7 v2, over MLLP and from files.',
  ),
  certain: both('确定', 'certain'),
  high: both('高', 'high'),
  medium: both('中', 'medium'),
  low: both('低', 'low'),
} as const

/** Every sentence of `hutong sniff` in one language. */
export function sniffTexts(language: Language) {
  return {
    word: (name: keyof typeof words): string => words[name][language],
    family: (family: Family): string => families[family][language],
    evidence: ({ code, detail }: Pick<Evidence, 'code' | 'detail'>): string =>
      detail === '' ? evidences[code][language] : `${evidences[code][language]}: ${detail}`,
    advice: ({ code, count, of, values }: Advice): string => {
      const figures = code === 'several-senders' || code === 'imaging-sender' ? `${count}` : `${count}/${of}`
      return `${advices[code][language].replace('%v', () => values.map((value) => value || '—').join(', '))} (${figures})`
    },
    line: (line: LineReport): string => lineText(line, language),
  }
}

export type SniffTexts = ReturnType<typeof sniffTexts>

function lineText(line: LineReport, language: Language): string {
  const { mode, spokeFirst, connections, bytes, seconds, closedBy, savedTo } = line
  const saved = savedTo === null ? '' : language === 'zh' ? `已保存到 ${savedTo}。` : ` Saved to ${savedTo}.`
  if (mode === 'listened') {
    return language === 'zh'
      ? `监听 ${seconds} 秒:${connections} 个连接,${bytes} 字节。未作任何应答,对方仍持有这些消息,之后会重发;等待应答的发送方每个连接只会发来一条。${saved}`
      : `Listened for ${seconds} s: ${connections} connection(s), ${bytes} bytes. Nothing was answered: the senders still own these messages and will send them again; one that waits for an answer sends a single message a connection.${saved}`
  }
  if (spokeFirst === 'nobody') {
    return language === 'zh'
      ? `已连接 ${seconds} 秒,对方没有发来任何字节${closedBy === 'peer' ? '并断开了连接' : ''}:对方在等客户端先说话(例如 MLLP、HTTP 或 DICOM 服务端)。本命令不发送任何内容。若发送方会主动连接,请用 --listen。${saved}`
      : `Connected for ${seconds} s and the peer said nothing${closedBy === 'peer' ? ' and closed' : ''}: it waits for its client to speak first, as servers of MLLP, HTTP or DICOM do. Nothing is ever sent from here. Where the sender connects by itself, use --listen.${saved}`
  }
  return language === 'zh'
    ? `已连接 ${seconds} 秒,对方先发来 ${bytes} 字节:它在监听,并向连接者发送。未作任何应答。${saved}`
    : `Connected for ${seconds} s; the peer spoke first, ${bytes} bytes: it listens, and sends to whoever connects. Nothing was answered.${saved}`
}
