import { systemClock } from '../../core/clock.js'
import { loadCalendar, missingYears, yearOf } from '../../services/watch/calendar.js'
import type { Configuration } from '../config.js'
import { defaultRoles } from '../config-schema.js'
import { failure, ok, warning, type Finding, type Look, type Say } from './finding.js'

/** Whether the holiday file knows this year, and from the 1st of December on the next. */
export const lookAtCalendar: Look = (configuration, say) =>
  Promise.resolve(calendarFindings(configuration, systemClock.now(), say))

/** The same at a moment, ms; nothing where this place does not watch. @throws UsageError for a file of no use */
export function calendarFindings(
  configuration: Pick<Configuration, 'roles' | 'uplink' | 'gateway' | 'watch'>,
  now: number,
  say: Say,
): readonly Finding[] {
  const { watch, roles = defaultRoles(configuration) } = configuration
  if (!roles.includes('watch')) return []
  const missing = missingYears(loadCalendar(watch?.holidays), now)
  if (missing.length === 0) {
    return [ok('calendar', say('the holiday file knows the days off that lie ahead', '节假日文件包含近期的放假安排'))]
  }
  const years = missing.join(', ')
  const detail = say(
    `the holiday file does not know ${years}: its days off would be taken for silence. The State Council's notice comes out in November: update the product, or name a file with that year as watch.holidays`,
    `节假日文件缺少 ${years} 年：放假会被当作中断。国务院通知于每年 11 月发布，请升级本产品，或用 watch.holidays 指定含该年的文件`,
  )
  return [missing.includes(yearOf(now)) ? failure('calendar', detail) : warning('calendar', detail)]
}
