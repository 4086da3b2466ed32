import { isProven } from './declared-outage.js'
import type { DeclaredOutage, Evidence, MessageId, Seen } from './evidence.js'

export interface Text {
  readonly zh: string
  readonly en: string
}

/** passed: shown and right. failed: shown and wrong. not-shown: nothing of it came, so nobody can tell. */
export type Verdict = 'passed' | 'failed' | 'not-shown'

/** What an item came to: one sentence, its figures, and the messages that show it. No patient data. */
export interface Judgement {
  readonly verdict: Verdict
  readonly finding: Text
  readonly figures: Readonly<Record<string, number>>
  readonly messages: readonly MessageId[]
}

/** Each judges one item of the checklist. Pure: the same evidence, the same judgement. */
type Judge = (evidence: Evidence) => Judgement

const unitShareMin = 0.95
const mappedShareMin = 0.9
const validIdShareMin = 0.8
const countedDaysMin = 3
const lagMaxMs = 120_000

const judged = (
  verdict: Verdict,
  finding: Text,
  figures: Readonly<Record<string, number>> = {},
  messages: readonly MessageId[] = [],
): Judgement => ({ verdict, finding, figures, messages })

const both = (zh: string, en: string): Text => ({ zh, en })

export const messageKinds: Judge = ({ kinds, kindsDeclared, messages }) => {
  // MSH-9.3 names a structure; the agreement is about type and trigger
  const came = new Set(kinds.map(({ name }) => name.split('^').slice(0, 2).join('^')))
  const missing = kindsDeclared.filter((kind) => !came.has(kind))
  const figures = { messages, declared: kindsDeclared.length, missing: missing.length }
  return missing.length === 0
    ? judged('passed', both(`已收到：${kindsDeclared.join('、')}`, `came: ${kindsDeclared.join(', ')}`), figures)
    : judged('not-shown', both(`未收到：${missing.join('、')}`, `did not come: ${missing.join(', ')}`), figures)
}

export const preliminaryFinal: Judge = ({ finalised }) =>
  shown(finalised, both(`${finalised.count} 份报告由初步转为正式`, `${finalised.count} reports became final`))

export const correction: Judge = ({ corrections, correctionsWithoutEffect: without }) => {
  if (corrections.count === 0 && without.count > 0) {
    const finding = both(
      `${without.count} 次更正未取代旧版本`,
      `${without.count} corrections displaced no older version`,
    )
    return judged('failed', finding, { corrections: 0, withoutEffect: without.count }, without.messages)
  }
  return shown(
    corrections,
    both(`${corrections.count} 次更正取代了旧版本`, `${corrections.count} corrections displaced a version`),
  )
}

export const withdrawal: Judge = ({ withdrawals, withdrawalsWithoutEffect: without }) => {
  if (withdrawals.count === 0 && without.count > 0) {
    const finding = both(
      `${without.count} 次撤回后报告仍然有效（其后可能又重新审核）`,
      `after ${without.count} withdrawals the report still stands (it may have been verified again)`,
    )
    return judged('failed', finding, { withdrawals: 0, withoutEffect: without.count }, without.messages)
  }
  return shown(withdrawals, both(`${withdrawals.count} 次撤回生效`, `${withdrawals.count} withdrawals took effect`))
}

export const duplicate: Judge = ({ duplicates: { count, messages, storedTwice } }) => {
  const figures = { repeated: count, storedTwice }
  if (storedTwice > 0) {
    return judged(
      'failed',
      both(`${storedTwice} 条消息被入库两次`, `${storedTwice} messages were stored twice`),
      figures,
      messages,
    )
  }
  if (count === 0) return judged('not-shown', both('没有收到重复消息', 'no message came twice'), figures)
  return judged(
    'passed',
    both(`${count} 条消息重复发送，各入库一次`, `${count} messages came again and were stored once`),
    figures,
    messages,
  )
}

export const outage: Judge = ({ outages, declaredOutages }) => {
  const proven = declaredOutages.filter(isProven)
  const all = [...outages, ...proven]
  const missing = all.reduce((sum, one) => sum + one.missing, 0)
  const held = all.reduce((sum, one) => sum + one.messages, 0)
  const figures = { outages: all.length, held, missing, declared: declaredOutages.length, proven: proven.length }
  const messages = all.slice(0, 2).flatMap(({ first, last }) => [...new Set([first, last])].filter((id) => id !== null))
  if (all.length === 0) {
    const [declared] = declaredOutages
    const finding =
      declared === undefined
        ? both('没有见到断线后的补传', 'no drain after an outage was seen')
        : unprovenText(declared)
    return judged('not-shown', finding, figures)
  }
  return missing > 0
    ? judged(
        'failed',
        both(`补传后仍缺 ${missing} 个编号`, `${missing} numbers are missing after the drain`),
        figures,
        messages,
      )
    : judged(
        'passed',
        both(
          `${all.length} 次断线，补传 ${held} 条，编号无缺`,
          `${all.length} outages, ${held} messages drained, none missing`,
        ),
        figures,
        messages,
      )
}

/** Why a declared time shows no outage. */
function unprovenText({ messages, arrivedInside, arrivalUnknown }: DeclaredOutage): Text {
  if (messages === 0) return both('声明的时段内没有收到消息', 'nothing was received within the declared time')
  if (arrivedInside > 0) {
    return both(
      `声明的时段内有 ${arrivedInside} 条消息已到达平台：并未断线，或时段超出了断线时间`,
      `${arrivedInside} messages arrived within the declared time: the way was up, or the time is longer than the cut`,
    )
  }
  if (arrivalUnknown > 0) return both('消息到达平台的时间没有记录', 'when the messages arrived was not recorded')
  return both('声明的时段之后还没有消息到达', 'no message has arrived from after the declared time yet')
}

export const charset: Judge = ({ charset: { hanzi, garbled, used }, deadLetters }) => {
  const undecodable = deadLetters.filter(({ code }) => code.startsWith('charset-'))
  const lost = undecodable.reduce((sum, { count }) => sum + count, 0)
  const figures = { hanzi: hanzi.count, garbled: garbled.count, undecodable: lost }
  if (lost > 0) {
    return judged(
      'failed',
      both(`${lost} 条消息无法解码`, `${lost} messages cannot be decoded`),
      figures,
      undecodable.flatMap(({ messages }) => messages),
    )
  }
  if (garbled.count > 0) {
    return judged(
      'failed',
      both(`${garbled.count} 条消息含乱码`, `${garbled.count} messages hold garbled text`),
      figures,
      garbled.messages,
    )
  }
  if (hanzi.count === 0) return judged('not-shown', both('没有收到中文内容', 'no Chinese text came'), figures)
  const names = used.map(({ name }) => name).join('、')
  return judged(
    'passed',
    both(`${hanzi.count} 条含中文，字符集 ${names}`, `${hanzi.count} messages with hanzi, charset ${names}`),
    figures,
    hanzi.messages,
  )
}

export const rareCharacters: Judge = ({ charset: { rare } }) =>
  shown(rare, both(`${rare.count} 条消息含生僻字`, `${rare.count} messages hold rare characters`))

export const charsetHeader: Judge = ({ charset: { headerLies, declared } }) => {
  const figures = { lies: headerLies.count }
  if (headerLies.count === 0)
    return judged('passed', both('MSH-18 与字节一致', 'MSH-18 agrees with the bytes'), figures)
  return declared === null
    ? judged(
        'failed',
        both(
          `${headerLies.count} 条消息 MSH-18 与字节不符，且来源未声明字符集`,
          `MSH-18 lies in ${headerLies.count} messages and the feed declares no charset`,
        ),
        figures,
        headerLies.messages,
      )
    : judged(
        'passed',
        both(
          `${headerLies.count} 条消息 MSH-18 不符，按声明的 ${declared} 读取`,
          `MSH-18 lies in ${headerLies.count} messages; read as declared, ${declared}`,
        ),
        figures,
        headerLies.messages,
      )
}

export const units: Judge = ({ results: { numeric, unitRead, unitRefused } }) => {
  const worst = unitRefused.slice(0, 5).map(({ name, count }) => `${name} × ${count}`)
  return share(unitRead, numeric, unitShareMin, both('数值结果的单位', 'units of numeric results'), worst)
}

export const mapping: Judge = ({ results: { total, mapped, unmapped } }) => {
  const worst = unmapped.slice(0, 5).map(({ name, count }) => `${name} × ${count}`)
  return share(mapped, total, mappedShareMin, both('已对照的结果', 'mapped results'), worst)
}

export const conservation: Judge = ({ days, discrepancies, messages }) => {
  const inFlight = days.reduce((sum, day) => sum + day.inFlight, 0)
  const unbalanced = days.filter((day) => !day.balanced).length
  const figures = { days: days.length, unbalanced, discrepancies, inFlight }
  if (unbalanced > 0 || discrepancies > 0) {
    return judged(
      'failed',
      both(
        `${unbalanced} 天不平，共 ${discrepancies} 处差异`,
        `${unbalanced} days do not balance, ${discrepancies} discrepancies`,
      ),
      figures,
    )
  }
  if (messages === 0) return judged('not-shown', both('期间没有消息', 'no message in the period'), figures)
  if (inFlight > 0)
    return judged('not-shown', both(`${inFlight} 条消息在途`, `${inFlight} messages are in flight`), figures)
  return judged('passed', both(`${days.length} 天全部平账`, `${days.length} days balance`), figures)
}

export const hospitalCounts: Judge = ({ days }) => {
  const counted = days.filter(({ hospitalCount }) => hospitalCount !== null)
  const differing = counted.filter(
    ({ hospitalCount, received, duplicates }) => hospitalCount !== received && hospitalCount !== received - duplicates,
  )
  const figures = { days: counted.length, differing: differing.length }
  if (differing.length > 0) {
    const list = differing.map(({ day, hospitalCount, received }) => `${day}: ${hospitalCount}/${received}`).join(', ')
    return judged(
      'failed',
      both(`与医院计数不一致（医院/平台）：${list}`, `counts differ (hospital/platform): ${list}`),
      figures,
    )
  }
  if (counted.length < countedDaysMin) {
    return judged(
      'not-shown',
      both(`只有 ${counted.length} 天的医院计数`, `hospital counts of ${counted.length} days only`),
      figures,
    )
  }
  return judged(
    'passed',
    both(`${counted.length} 天与医院计数一致`, `${counted.length} days agree with the hospital`),
    figures,
  )
}

export const deadLetters: Judge = ({ deadLetters: letters }) => {
  // those of charset and report key are judged by items of their own
  const open = letters.filter(({ state, code }) => state === 'open' && !hasOwnItem(code))
  const explained = letters.filter(({ state }) => state !== 'open').reduce((sum, { count }) => sum + count, 0)
  const count = open.reduce((sum, letter) => sum + letter.count, 0)
  const figures = { open: count, explained }
  if (count === 0)
    return judged('passed', both(`无未处理死信（已处理 ${explained}）`, `none open (${explained} settled)`), figures)
  const causes = open.map((letter) => `${letter.code} × ${letter.count}`).join(', ')
  return judged(
    'failed',
    both(`未处理死信：${causes}`, `open: ${causes}`),
    figures,
    open.flatMap(({ messages }) => messages).slice(0, 5),
  )
}

const hasOwnItem = (code: string): boolean => code.startsWith('charset-') || code === 'report-key-conflict'

export const reportKeys: Judge = ({ deadLetters: letters, results, messages }) => {
  const conflicts = letters.filter(({ code }) => code === 'report-key-conflict')
  const count = conflicts.reduce((sum, letter) => sum + letter.count, 0)
  if (count > 0) {
    return judged(
      'failed',
      both(`${count} 次报告号冲突`, `${count} report numbers claimed by two patients`),
      { conflicts: count },
      conflicts.flatMap(({ messages: ids }) => ids).slice(0, 5),
    )
  }
  return messages === 0 || results.total === 0
    ? judged('not-shown', both('没有收到报告', 'no report came'), { conflicts: 0 })
    : judged('passed', both('没有报告号冲突', 'no conflict'), { conflicts: 0 })
}

export const patientIds: Judge = ({ patients: { total, validIdNumber, problems } }) =>
  share(
    validIdNumber,
    total,
    validIdShareMin,
    both('有效身份证号的患者', 'patients with a valid ID number'),
    problems.slice(0, 5).map(({ name, count }) => `${name} × ${count}`),
  )

export const clock: Judge = ({ clock: { samples, medianLagMs } }) => {
  if (medianLagMs === null)
    return judged('not-shown', both('消息未带可读的 MSH-7', 'no message carries a readable MSH-7'), { samples })
  const seconds = Math.round(medianLagMs / 1000)
  const figures = { samples, medianLagSeconds: seconds }
  return judged(
    Math.abs(medianLagMs) <= lagMaxMs ? 'passed' : 'failed',
    both(`接收时间与 MSH-7 之差中位数 ${seconds} 秒`, `receipt minus MSH-7: median ${seconds} s`),
    figures,
  )
}

function shown(what: Seen, finding: Text): Judgement {
  return what.count > 0
    ? judged('passed', finding, { count: what.count }, what.messages)
    : judged('not-shown', both('期间没有见到', 'not seen in the period'), { count: 0 })
}

function share(part: number, whole: number, min: number, what: Text, worst: readonly string[]): Judgement {
  const figures = { part, whole }
  if (whole === 0) return judged('not-shown', both(`没有${what.zh}可查`, `there are no ${what.en} to look at`), figures)
  const percent = Math.floor((1000 * part) / whole) / 10
  const rest = worst.length === 0 ? '' : `；${worst.join('；')}`
  const restEn = worst.length === 0 ? '' : `; ${worst.join('; ')}`
  return judged(
    part >= min * whole ? 'passed' : 'failed',
    both(`${what.zh} ${part}/${whole}（${percent}%）${rest}`, `${what.en}: ${part} of ${whole} (${percent}%)${restEn}`),
    figures,
  )
}
