import { RetryableError } from '../core/errors.js'
import { pause } from '../core/pause.js'
import { checklist } from '../services/acceptance/checklist.js'
import type { AcceptanceReport, judgeReport } from '../services/acceptance/report.js'
import { table, type Terminal } from './terminal.js'

export type Judged = ReturnType<typeof judgeReport>

/**
 * Judges again and again, and tells the two engineers on the phone what is wanted next. Ends when everything is shown or
 * `signal` aborts, with the last judgement; undefined where no message of the feed has come. A repository that is away is
 * waited for.
 */
export async function watchChecklist(
  judge: () => Promise<Judged | undefined>,
  terminal: Terminal,
  options: { readonly signal: AbortSignal; readonly everyMs: number },
): Promise<Judged | undefined> {
  let judged: Judged | undefined
  let before = ''
  for (;;) {
    let text: string
    let isDone = false
    try {
      judged = await judge()
      const open = judged?.report.items.filter(({ result }) => result === 'failed' || result === 'not-shown') ?? []
      isDone = judged !== undefined && open.length === 0
      text = shownText(judged, open[0]?.id, terminal)
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      text = `${error.message}: trying again\n`
    }
    if (text !== before) terminal.err(`${terminal.interactive ? '\x1b[2J\x1b[H' : ''}${text}\n`)
    before = text
    if (isDone || options.signal.aborted) return judged
    await pause(options.everyMs, options.signal)
    if (options.signal.aborted && judged !== undefined) return judged
  }
}

function shownText(judged: Judged | undefined, openId: string | undefined, terminal: Terminal): string {
  if (judged === undefined) return 'no message of the feed has arrived yet\n'
  const next = checklist.items.find(({ id }) => id === openId)
  const todo = next === undefined ? '' : `→ ${next.action[terminal.environment.language]}\n`
  return itemTable(judged.report, terminal) + todo
}

const marks = { passed: '✓', failed: '✗', 'not-shown': '·', waived: '~' } as const

/** The checklist with what each item came to. */
export function itemTable({ items }: AcceptanceReport, { environment: { language } }: Terminal): string {
  return table(
    items.map(({ id, result, title, finding, waiver }) => [
      marks[result],
      result,
      id,
      title[language],
      finding[language] + (waiver === null ? '' : ` [${waiver.by}: ${waiver.reason}]`),
    ]),
  )
}
