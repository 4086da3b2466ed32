import type { RefusalReason } from '../../core/errors.js'
import type { LinkNote } from './receiver-link.js'

/** Counters since the receiver started, and what is under way now. No message content, no address. */
export class AstmCounters {
  connectionsOpen = 0
  connectionsAccepted = 0
  readonly connectionsRefused = { 'not-allowed': 0, 'too-many': 0, resources: 0 }
  connectionsTimedOut = 0
  /** Connections that could not be opened (mode connect). */
  connectFailures = 0
  /** Complete messages handed over. */
  received = 0
  receivedBytes = 0
  /** Messages accepted whose last frame was answered ACK. */
  acknowledged = 0
  /** Messages accepted whose sender had gone or had stopped waiting: it will send them again. */
  unanswered = 0
  /** Messages without an L record, kept as what had arrived of them. */
  unfinished = 0
  /** Unfinished messages that could not be stored before the receiver stopped. */
  unfinishedLost = 0
  readonly refused: Record<RefusalReason | 'retry-later', number> = {
    'too-large': 0,
    'no-readable-msh': 0,
    stopping: 0,
    'disk-full': 0,
    'not-allowed': 0,
    'bad-frame': 0,
    validation: 0,
    'retry-later': 0,
  }
  /** What happened on the lines, by kind. */
  readonly line: Record<LinkNote, number> = {
    session: 0,
    repeated: 0,
    'bad-checksum': 0,
    'bad-frame': 0,
    'frame-too-long': 0,
    'message-too-large': 0,
    'wrong-number': 0,
    'outside-session': 0,
    'timed-out': 0,
    abandoned: 0,
    'not-ready': 0,
  }
  junkBytes = 0
  /** Read and not settled. */
  inFlight = 0

  /** A copy that later events do not change. */
  snapshot(): AstmStatistics {
    return {
      ...this,
      connectionsRefused: { ...this.connectionsRefused },
      refused: { ...this.refused },
      line: { ...this.line },
    }
  }
}

export type AstmStatistics = Readonly<Omit<AstmCounters, 'snapshot'>>
