import type { Environment } from '../../core/environment.js'
import type { DemoHospital } from './hospitals.js'
import type { DemoView } from './figures.js'

/** Every sentence of the demonstration; a language that leaves one out does not compile. */
export interface DemoTexts {
  readonly title: string
  readonly hospital: (hospital: DemoHospital) => string
  readonly plan: (messages: number, seed: number) => string
  readonly embedded: string
  readonly embeddedLogOnly: string
  readonly separate: (roles: number) => string
  readonly starting: string
  readonly dataDir: (dir: string) => string
  readonly metrics: (role: string, url: string) => string
  readonly phase: Readonly<Record<DemoView['phase'], string>>
  readonly columns: {
    readonly source: string
    readonly sent: string
    readonly acknowledged: string
    readonly stored: string
    readonly superseded: string
    readonly deadLettered: string
    readonly ignored: string
    readonly inFlight: string
    readonly rate: string
    readonly freshness: string
    readonly balance: string
  }
  readonly total: string
  readonly legend: string
  readonly ended: (seconds: number) => string
  readonly balanced: string
  readonly notBalanced: (hospital: string, acknowledgements: number, ledger: number) => string
  readonly lateLedger: (hospital: string, inFlight: number) => string
  readonly resent: (count: number) => string
  readonly unanswered: (count: number) => string
  readonly refused: (count: number) => string
  readonly freshness: (p50: string, p95: string, p99: string) => string
  readonly noFreshness: string
  readonly causes: string
  readonly noCauses: string
  readonly unmapped: string
  readonly noUnmapped: string
  readonly reconcileGood: string
  readonly reconcileBad: (count: number) => string
  readonly next: string
  readonly nextTrace: string
  readonly nextDeadLetters: string
  readonly nextShow: string
  readonly nextReconcile: string
  readonly nextRun: string
  readonly keeping: (rate: number) => string
  readonly stopped: string
}

const zh: DemoTexts = {
  title: '互通演示：三家虚构医院的数据进入省级数据库',
  hospital: ({ code, nameZh, dialectZh }) => `  ${code} ${nameZh}：${dialectZh}`,
  plan: (messages, seed) => `将发送约 ${messages} 条合成消息（患者均为虚构）；种子 ${seed}，用 --seed ${seed} 可重现。`,
  embedded: '使用内置事件日志与内置数据库，单进程运行。内置数据库不落盘刷新，仅用于演示和测试。',
  embeddedLogOnly: '使用内置事件日志与 PostgreSQL，单进程运行。',
  separate: (roles) => `使用 Kafka 与 PostgreSQL，${roles} 个角色各为一个进程。`,
  starting: '正在启动…',
  dataDir: (dir) => `数据目录：${dir}`,
  metrics: (role, url) => `指标（${role}）：${url}`,
  phase: { starting: '预热', sending: '发送中', settling: '等待落库', keeping: '持续运行（Ctrl-C 结束）' },
  columns: {
    source: '来源',
    sent: '已发送',
    acknowledged: '已确认',
    stored: '已入库',
    superseded: '被取代',
    deadLettered: '死信',
    ignored: '忽略',
    inFlight: '在途',
    rate: '条/秒',
    freshness: '时效p95',
    balance: '账',
  },
  total: '合计',
  legend: '已确认 = 已入库 + 被取代 + 死信 + 忽略 + 在途；时效 = 从确认到落库的毫秒数',
  ended: (seconds) => `完成，用时 ${seconds} 秒`,
  balanced: '账目相符：模拟器日志中每一次确认，数据库都有下落。',
  notBalanced: (hospital, acknowledgements, ledger) =>
    `账目不符：${hospital} 的模拟器收到 ${acknowledgements} 次确认，数据库记有 ${ledger} 条。`,
  lateLedger: (hospital, inFlight) => `${hospital} 有 ${inFlight} 条已确认的消息在 30 秒内没有进展。`,
  resent: (count) => `其中 ${count} 次是发送方丢失确认后的重发：同一消息两份都记账，第二份记为被取代（重复）。`,
  unanswered: (count) => `另有 ${count} 次发送未得到答复，可能已入账，也可能没有。`,
  refused: (count) => `另有 ${count} 次发送被拒收（未存储，未确认）。`,
  freshness: (p50, p95, p99) => `从确认到落库（不计预热的头几条）：p50 ${p50}，p95 ${p95}，p99 ${p99}`,
  noFreshness: '没有消息落库，无时效数据。',
  causes: '死信主要原因：',
  noCauses: '没有死信。',
  unmapped: '未映射代码（待办，结果原样入库）：',
  noUnmapped: '没有未映射代码。',
  reconcileGood: '对账（hutong reconcile）：相符，没有缺失。',
  reconcileBad: (count) => `对账（hutong reconcile）：发现 ${count} 处不符。`,
  next: '接下来可以试：',
  nextTrace: '# 一份报告从字节到数据行的全过程（它被更正过）',
  nextDeadLetters: '# 死信按原因汇总',
  nextShow: '# 看一条死信：哪一段、哪一字段、怎么办',
  nextReconcile: '# 逐来源逐日对账',
  nextRun: '# 同样的配置自己运行（可先看看这个文件）',
  keeping: (rate) => `继续以每秒 ${rate} 条运行，Ctrl-C 结束。`,
  stopped: '已收到停止信号：模拟器停止发送，等待已确认的消息落库…',
}

const en: DemoTexts = {
  title: 'Hutong demonstration: three invented hospitals feed the provincial repository',
  hospital: ({ code, nameEn, dialectEn }) => `  ${code} ${nameEn}: ${dialectEn}`,
  plan: (messages, seed) =>
    `About ${messages} synthetic messages (no real person); seed ${seed}, --seed ${seed} sends the same again.`,
  embedded:
    'Embedded event log and database, one process. The embedded database does not flush to disk: for demo and tests only.',
  embeddedLogOnly: 'Embedded event log and PostgreSQL, one process.',
  separate: (roles) => `Kafka and PostgreSQL, ${roles} roles in a process each.`,
  starting: 'Starting…',
  dataDir: (dir) => `Data folder: ${dir}`,
  metrics: (role, url) => `Metrics (${role}): ${url}`,
  phase: {
    starting: 'warming up',
    sending: 'sending',
    settling: 'waiting for the rows',
    keeping: 'running on (Ctrl-C ends)',
  },
  columns: {
    source: 'source',
    sent: 'sent',
    acknowledged: 'acked',
    stored: 'stored',
    superseded: 'superseded',
    deadLettered: 'dead',
    ignored: 'ignored',
    inFlight: 'flight',
    rate: 'per s',
    freshness: 'p95 ms',
    balance: 'sum',
  },
  total: 'all',
  legend: 'acked = stored + superseded + dead-lettered + ignored + in flight; p95 ms: from the ACK to the row',
  ended: (seconds) => `Done in ${seconds} s`,
  balanced: "The sums agree: every acknowledgement in the simulators' journal is accounted for in the repository.",
  notBalanced: (hospital, acknowledgements, ledger) =>
    `The sums differ: ${hospital}'s simulator was acknowledged ${acknowledgements} times, the repository has ${ledger} messages.`,
  lateLedger: (hospital, inFlight) => `${inFlight} acknowledged messages of ${hospital} made no progress for 30 s.`,
  resent: (count) =>
    `${count} of them answer a message sent again after its acknowledgement was lost: both copies count, the second as superseded (duplicate).`,
  unanswered: (count) => `${count} more attempts were not answered: they may be in the ledger or not.`,
  refused: (count) => `${count} more attempts were refused (not stored, not acknowledged).`,
  freshness: (p50, p95, p99) =>
    `From the ACK to the row (without the first few, which warm up): p50 ${p50}, p95 ${p95}, p99 ${p99}`,
  noFreshness: 'Nothing was stored, so there is no freshness.',
  causes: 'Top causes of dead letters:',
  noCauses: 'No dead letters.',
  unmapped: 'Top unmapped codes (work items; the results are stored verbatim):',
  noUnmapped: 'No unmapped codes.',
  reconcileGood: 'hutong reconcile: balanced, nothing is missing.',
  reconcileBad: (count) => `hutong reconcile: ${count} discrepancies.`,
  next: 'What to try next:',
  nextTrace: '# one report from its bytes to its rows (it was corrected)',
  nextDeadLetters: '# dead letters by cause',
  nextShow: '# one dead letter: which segment, which field, what to do',
  nextReconcile: '# the balance by source and day',
  nextRun: '# run the same configuration yourself (it is worth a look)',
  keeping: (rate) => `Running on at ${rate} messages a second; Ctrl-C ends.`,
  stopped: 'Stopping: the simulators send nothing more, what was acknowledged is waited for…',
}

export const demoTexts: Readonly<Record<Environment['language'], DemoTexts>> = { zh, en }
