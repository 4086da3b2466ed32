import type { Command } from 'commander'
import { systemClock } from '../core/clock.js'
import { UsageError } from '../core/errors.js'
import { findFeed, readHours } from '../repository/feed-hours.js'
import { dayMs, loadCalendar } from '../services/watch/calendar.js'
import { expectedUntilSilent, firstHourLearnt, learnHabit, type Habit, type Slot } from '../services/watch/habit.js'
import { maintenanceOf } from '../services/watch/maintenance.js'
import { configurationOf, onRepository, withPlace, type PlaceFlags } from './repository-access.js'
import { table, type Terminal } from './terminal.js'

export function expectCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('expect <feed>'))
    .description(
      'the habit learnt of a feed: active minutes (messages) usual in each hour of the week, clock of +08:00',
    )
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      '\nAn active minute is one in which at least one message came. docs/operations/alerts.md has the model.',
    )
    .action(async (name: string, flags: PlaceFlags & { json?: boolean }) => {
      const configuration = await configurationOf(flags, terminal)
      const { watch = {} } = configuration
      const environment = flags.config === undefined ? undefined : configuration.environment
      const now = systemClock.now()
      const calendar = loadCalendar(watch.holidays)
      const { feed, habit } = await onRepository(flags, terminal, async (database) => {
        const [found, ...others] = await findFeed(database, name, environment)
        if (found === undefined) throw new UsageError(`the repository knows no feed ${name}`)
        if (others.length > 0)
          throw new UsageError(`several feeds are called ${name}: name the configuration with --config`)
        const maintenance = maintenanceOf(watch.maintenance ?? [], { feed: name, hospital: found.hospital }, [
          now - 120 * dayMs,
          now,
        ])
        const counts = await readHours(database, found.id, firstHourLearnt(now))
        return { feed: found, habit: learnHabit(counts, { now, calendar, maintenance }) }
      })
      const needed = expectedUntilSilent(watch.probability ?? 1e-6, habit.shape)
      if (flags.json === true) {
        const { weekly, ...rest } = habit
        const shown = {
          feed: name,
          hospital: feed.hospital,
          ...rest,
          weekly: weekly.slice(1),
          activeMinutesUntilSilent: needed,
        }
        return terminal.out(`${JSON.stringify(shown)}\n`)
      }
      terminal.out(habitTable(habit))
      terminal.out(
        habit.established
          ? `silent once ${needed.toFixed(1)} active minutes were usual since its last message (shape ${habit.shape.toFixed(1)})\n`
          : 'less than two weeks of history: only a minimum volume is watched\n',
      )
    })
}

const weekdays = ['Mon 一', 'Tue 二', 'Wed 三', 'Thu 四', 'Fri 五', 'Sat 六', 'Sun 日']

function habitTable(habit: Habit): string {
  const cell = (slot: Slot): string => (slot.days === 0 ? '-' : `${round(slot.median)} (${round(slot.messages)})`)
  const rows = Array.from({ length: 24 }, (_, hour) => [
    `${String(hour).padStart(2, '0')}:00`,
    ...weekdays.map((_day, index) => cell(habit.weekly[index + 1]![hour]!)),
    cell(habit.holiday[hour]!),
  ])
  return table([['hour', ...weekdays, 'holiday 假日'], ...rows])
}

const round = (value: number): string => String(Math.round(value * 10) / 10)
