/** A message's id (SHA-256 of feed and bytes): it names a message and says nothing about a patient. */
export type MessageId = string

/** Something seen so often, with some of the messages that show it. */
export interface Seen {
  readonly count: number
  readonly messages: readonly MessageId[]
}

/** What is counted by name, the most frequent first. */
export interface Tally {
  readonly name: string
  readonly count: number
}

/** One day (+08:00) of the period. */
export interface DayFigures {
  readonly day: string
  readonly received: number
  readonly stored: number
  readonly superseded: number
  readonly deadLettered: number
  readonly ignored: number
  readonly inFlight: number
  /** Nothing is missing. */
  readonly balanced: boolean
  /** Resent bytes among `received`. */
  readonly duplicates: number
  /** What the hospital counted; null where it gave no count. */
  readonly hospitalCount: number | null
}

/** Everything the checklist is judged from: figures and message ids, no patient data. */
export interface Evidence {
  readonly messages: number
  /** MSH-9 as type^trigger. */
  readonly kinds: readonly Tally[]
  readonly kindsDeclared: readonly string[]
  /** A preliminary report replaced by its final one. */
  readonly finalised: Seen
  /** Later final versions of a report that displaced an earlier one. */
  readonly corrections: Seen
  /** Such versions that displaced nothing. */
  readonly correctionsWithoutEffect: Seen
  readonly withdrawals: Seen
  readonly withdrawalsWithoutEffect: Seen
  /** The same bytes again: `count` groups; `storedTwice` of them became rows more than once. */
  readonly duplicates: Seen & { readonly storedTwice: number }
  /** Stretches received while the way to the province was down, and forwarded after it, with live messages before and after. */
  readonly outages: readonly Outage[]
  /** Times in which the tester said the way was down, with what was received and when it arrived. */
  readonly declaredOutages: readonly DeclaredOutage[]
  readonly charset: {
    readonly declared: string | null
    readonly used: readonly Tally[]
    /** Messages with hanzi. */
    readonly hanzi: Seen
    /** With characters beyond GBK's two bytes (CJK extension A and further). */
    readonly rare: Seen
    /** MSH-18 says another charset than the bytes. */
    readonly headerLies: Seen
    /** Mojibake or replacement characters in what was sent. */
    readonly garbled: Seen
  }
  readonly results: {
    readonly total: number
    readonly mapped: number
    readonly unmapped: readonly Tally[]
    readonly numeric: number
    readonly unitRead: number
    readonly unitRefused: readonly Tally[]
  }
  readonly patients: { readonly total: number; readonly validIdNumber: number; readonly problems: readonly Tally[] }
  readonly deadLetters: readonly {
    readonly code: string
    readonly state: string
    readonly count: number
    readonly messages: readonly MessageId[]
  }[]
  readonly days: readonly DayFigures[]
  /** Numbers, receipts or rows that reconciliation misses. */
  readonly discrepancies: number
  readonly clock: {
    readonly samples: number
    /** Receipt minus MSH-7; null without samples. */
    readonly medianLagMs: number | null
  }
}

export interface Outage {
  /** Receipt of the first and last message held, ms. */
  readonly from: number
  readonly to: number
  readonly messages: number
  /** Numbers between the live messages on either side that the archive does not hold. */
  readonly missing: number
  readonly first: MessageId
  readonly last: MessageId
}

export interface DeclaredOutage {
  /** As declared, ms; the end excluded. */
  readonly from: number
  readonly to: number
  /** Received inside. */
  readonly messages: number
  /** Of these, in the archive before the window ended: the way was not down. */
  readonly arrivedInside: number
  /** Of these, archived by a release that did not record when. */
  readonly arrivalUnknown: number
  /** Numbers of the spool, from the last message before to the first after, that the archive does not hold. */
  readonly missing: number
  /** A message received after the window arrived. */
  readonly isFollowed: boolean
  readonly first: MessageId | null
  readonly last: MessageId | null
}
