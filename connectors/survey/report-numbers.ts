import { digest } from './control-ids.js'

/** How reports are numbered in the order groups of result messages. */
export interface ReportNumbersReading {
  readonly groups: number
  readonly obr3Blank: number
  /** Of those, OBR-2 is filled. */
  readonly obr2Instead: number
  /** No field the default configuration reads a number from is filled. */
  readonly numberless: number
  /** Numbers that stand on reports of more than one patient. */
  readonly overPatients: number
  /** Span within which each of those numbers has one patient only. */
  readonly recycles: 'none' | 'day' | 'year' | 'unclear'
}

interface Holders {
  patients: Set<string>
  byDay: Map<string, string>
  dayClash: boolean
  byYear: Map<string, string>
  yearClash: boolean
}

const rememberedMax = 100_000

export class ReportNumbers {
  readonly #holders = new Map<string, Holders>()
  #groups = 0
  #obr3Blank = 0
  #obr2Instead = 0
  #numberless = 0

  /** `date` is YYYYMMDD of the report's specimen or message, '' where none is known. */
  add(group: {
    readonly source: string
    readonly obr3: string | null
    readonly obr2: string | null
    readonly other: string | null
    readonly patient: string | null
    readonly date: string
  }): void {
    this.#groups++
    if (group.obr3 === null) {
      this.#obr3Blank++
      if (group.obr2 !== null) this.#obr2Instead++
      if (group.obr2 === null && group.other === null) this.#numberless++
      return
    }
    if (group.patient === null) return
    const key = digest(`${group.source}\x1f${group.obr3}`)
    let holders = this.#holders.get(key)
    if (holders === undefined) {
      if (this.#holders.size >= rememberedMax) return
      holders = { patients: new Set(), byDay: new Map(), dayClash: false, byYear: new Map(), yearClash: false }
      this.#holders.set(key, holders)
    }
    if (holders.patients.size >= 1000) return
    const patient = digest(group.patient)
    holders.patients.add(patient)
    const year = group.date.slice(0, 4)
    holders.dayClash ||= (holders.byDay.get(group.date) ?? patient) !== patient
    holders.yearClash ||= (holders.byYear.get(year) ?? patient) !== patient
    holders.byDay.set(group.date, patient)
    holders.byYear.set(year, patient)
  }

  read(): ReportNumbersReading {
    const shared = [...this.#holders.values()].filter(({ patients }) => patients.size > 1)
    return {
      groups: this.#groups,
      obr3Blank: this.#obr3Blank,
      obr2Instead: this.#obr2Instead,
      numberless: this.#numberless,
      overPatients: shared.length,
      recycles:
        shared.length === 0
          ? 'none'
          : shared.every(({ yearClash }) => !yearClash)
            ? 'year'
            : shared.every(({ dayClash }) => !dayClash)
              ? 'day'
              : 'unclear',
    }
  }
}
