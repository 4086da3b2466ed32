import type { Evidence } from './evidence.js'
import * as judge from './judge.js'
import type { Judgement, Text } from './judge.js'

export interface ChecklistItem {
  readonly id: string
  readonly title: Text
  /** What has to be seen. */
  readonly requirement: Text
  /** What the two engineers do now, so that it is seen. */
  readonly action: Text
  /** The standard the item rests on, or our judgement. */
  readonly source: string
  /** A feed passes without it, and the report tells. */
  readonly isOptional?: boolean
  /** Nobody can waive it: it is about what the product itself promises. */
  readonly isUnwaivable?: boolean
  readonly judge: (evidence: Evidence) => Judgement
}

export interface Checklist {
  /** Raised whenever an item, a limit or a judgement changes. */
  readonly version: number
  readonly items: readonly ChecklistItem[]
}

const ours = '本平台判断 / our judgement'

/** The checklist in force. */
export const checklist: Checklist = {
  version: 2,
  items: [
    {
      id: 'message-kinds',
      title: { zh: '消息类型', en: 'Message kinds' },
      requirement: { zh: '约定的每种消息（MSH-9）至少收到一条', en: 'Each agreed kind (MSH-9) came at least once' },
      action: { zh: '请医院逐一发送约定的消息类型', en: 'have the hospital send each agreed kind once' },
      source: 'HL7 v2.5.1 2.14.9.9 (MSH-9)',
      judge: judge.messageKinds,
    },
    {
      id: 'preliminary-final',
      title: { zh: '初步报告转正式报告', en: 'Preliminary, then final' },
      requirement: {
        zh: '同一报告先收到初步结果（P），后收到正式结果（F）',
        en: 'A report came preliminary (P), then final (F)',
      },
      action: {
        zh: '请医院先发一份初步报告，再发其正式报告',
        en: 'have a preliminary report sent, then its final one',
      },
      source: 'HL7 table 0085, 0123',
      isOptional: true,
      judge: judge.preliminaryFinal,
    },
    {
      id: 'correction',
      title: { zh: '更正报告', en: 'Correction' },
      requirement: {
        zh: '同一报告号的更正结果（C 或内容不同的 F）取代旧版本，旧版本留存',
        en: 'A correction (C, or F with other content) of the same report replaced the older version, which is kept',
      },
      action: { zh: '请医院更正一份已发报告并重新发送', en: 'have a report that was sent corrected and sent again' },
      source: 'HL7 table 0085; docs/newer.md',
      judge: judge.correction,
    },
    {
      id: 'withdrawal',
      title: { zh: '报告撤回', en: 'Withdrawal' },
      requirement: {
        zh: '已发报告被撤回或删除（W、D、X）后，不再对外可见',
        en: 'A report that was sent is withdrawn or deleted (W, D, X) and shown to readers no more',
      },
      action: { zh: '请医院撤回一份已发报告', en: 'have a report that was sent withdrawn' },
      source: 'HL7 table 0085',
      judge: judge.withdrawal,
    },
    {
      id: 'duplicate',
      title: { zh: '重复消息', en: 'Duplicate' },
      requirement: { zh: '相同字节的消息重复发送，只入库一次', en: 'The same bytes came twice and were stored once' },
      action: { zh: '请医院把同一条消息原样再发一次', en: 'have one message sent again as it is' },
      source: ours,
      isUnwaivable: true,
      judge: judge.duplicate,
    },
    {
      id: 'outage',
      title: { zh: '断线续传', en: 'Outage' },
      requirement: {
        zh: '前置机与平台之间断线 10 分钟以上，或在声明的时段内断线；期间照常接收，恢复后补传，编号无缺',
        en: 'The way to the province was down for over ten minutes, or within a declared time; messages went on being taken, came after it, none missing',
      },
      action: {
        zh: '断开前置机上行网络 5 分钟，其间继续发送，然后恢复网络，再发一条；以 --outage 声明其中的时段，如 10:01-10:05',
        en: "cut the edge's way out for 5 minutes, go on sending, restore it, send one more; declare a time within with --outage, as 10:01-10:05",
      },
      source: ours,
      judge: judge.outage,
    },
    {
      id: 'charset',
      title: { zh: '中文字符', en: 'Chinese text' },
      requirement: {
        zh: '收到中文内容，全部按字符集严格解码，无乱码',
        en: 'Hanzi came, all decoded strictly, none garbled',
      },
      action: { zh: '请医院发送含中文的报告', en: 'have a report with Chinese text sent' },
      source: 'GB 18030-2022; HL7 table 0211',
      judge: judge.charset,
    },
    {
      id: 'rare-characters',
      title: { zh: '生僻字', en: 'Rare characters' },
      requirement: {
        zh: '收到 GBK 双字节以外的汉字（如 U+3F06、U+2CC56）并正确读取',
        en: 'Characters beyond two-byte GBK (such as 㼆, 𬱖) came and were read',
      },
      action: {
        zh: '请医院用姓名含“㼆”“𬱖”的测试患者发送一份报告',
        en: 'have a report sent for a test patient named with 㼆 and 𬱖',
      },
      source: 'GB 18030-2022 实现级别 2',
      judge: judge.rareCharacters,
    },
    {
      id: 'charset-header',
      title: { zh: '字符集声明', en: 'Charset header' },
      requirement: {
        zh: 'MSH-18 与实际字节一致；不一致时来源配置须声明真实字符集',
        en: 'MSH-18 says what the bytes are; where it lies, the feed declares the real charset',
      },
      action: { zh: '在来源配置 charset 中声明真实字符集', en: 'declare the real charset in the feed (charset:)' },
      source: 'HL7 v2.5.1 2.14.9.18 (MSH-18)',
      judge: judge.charsetHeader,
    },
    {
      id: 'units',
      title: { zh: '计量单位', en: 'Units' },
      requirement: { zh: '数值结果中 95% 以上的单位可识别', en: 'The unit of 95% of the numeric results can be read' },
      action: { zh: '核对未识别的单位写法', en: 'go through the spellings that were refused' },
      source: 'UCUM; ' + ours,
      judge: judge.units,
    },
    {
      id: 'mapping',
      title: { zh: '项目对照', en: 'Mapping' },
      requirement: { zh: '检验结果中 90% 以上已对照到统一项目', en: '90% of the results are mapped to unified items' },
      action: { zh: '补充本院代码对照表', en: "complete the hospital's mapping file" },
      source: ours,
      judge: judge.mapping,
    },
    {
      id: 'conservation',
      title: { zh: '逐日平账', en: 'Conservation' },
      requirement: {
        zh: '每天：接收 = 入库 + 被取代 + 死信 + 忽略，逐条无缺',
        en: 'Each day: received = stored + superseded + dead-lettered + ignored, to the message',
      },
      action: {
        zh: '等待在途消息处理完毕；运行 hutong reconcile 查看',
        en: 'wait for what is in flight; run hutong reconcile',
      },
      source: ours,
      isUnwaivable: true,
      judge: judge.conservation,
    },
    {
      id: 'hospital-counts',
      title: { zh: '与医院计数核对', en: "The hospital's counts" },
      requirement: {
        zh: '至少三天，平台接收数与医院发送数一致（重复发送的可计可不计）',
        en: 'On three days or more what was received equals what the hospital counted (with or without what it resent)',
      },
      action: {
        zh: '请医院按日统计发送数，以 --counts 提供',
        en: "have the hospital's daily counts given with --counts",
      },
      source: ours,
      judge: judge.hospitalCounts,
    },
    {
      id: 'dead-letters',
      title: { zh: '死信', en: 'Dead letters' },
      requirement: { zh: '没有未处理的死信', en: 'No dead letter is open' },
      action: {
        zh: '运行 hutong dead-letters list，排除原因后重投',
        en: 'run hutong dead-letters list, mend the causes, redrive',
      },
      source: ours,
      judge: judge.deadLetters,
    },
    {
      id: 'report-keys',
      title: { zh: '报告号唯一', en: 'Report numbers' },
      requirement: {
        zh: '没有两名患者共用一个报告号（OBR-3）',
        en: 'No report number (OBR-3) belongs to two patients',
      },
      action: {
        zh: '核对报告号来源或设置循环周期',
        en: 'look at where report numbers come from, or set reportNumberRecycles',
      },
      source: 'HL7 v2.5.1 4.5.3.3 (OBR-3)',
      judge: judge.reportKeys,
    },
    {
      id: 'patient-ids',
      title: { zh: '患者身份', en: 'Patient identity' },
      requirement: { zh: '80% 以上患者带有有效身份证号', en: '80% of the patients carry a valid ID number' },
      action: { zh: '请医院在 PID-3 中提供身份证号', en: 'have the ID number sent in PID-3' },
      source: 'GB 11643-1999; ' + ours,
      judge: judge.patientIds,
    },
    {
      id: 'clock',
      title: { zh: '时钟', en: 'Clock' },
      requirement: {
        zh: '发送方时间（MSH-7）与接收时间相差的中位数不超过 2 分钟',
        en: 'MSH-7 and receipt differ by 2 minutes or less (median)',
      },
      action: { zh: '请医院校准发送系统时钟', en: "have the sending system's clock set" },
      source: ours,
      judge: judge.clock,
    },
  ],
}
