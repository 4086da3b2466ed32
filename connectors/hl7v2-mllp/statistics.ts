import type { RefusalReason } from '../../core/errors.js'

/** Why a message was refused: the closed list of RefusedError, or that something outside is not there just now. */
export type RefusalCount = RefusalReason | 'retry-later'

/** Why a connection was not taken. */
export type ConnectionRefusal = 'not-allowed' | 'too-many' | 'tls' | 'resources'

/** Counters since the receiver started, and what is under way now. No message content, no address. */
export interface MllpStatistics {
  readonly connectionsOpen: number
  readonly connectionsAccepted: number
  readonly connectionsRefused: Readonly<Record<ConnectionRefusal, number>>
  /** Connections closed because the sender was silent for too long. */
  readonly connectionsTimedOut: number
  /** Connections closed because too much was held for incomplete messages and theirs was the largest. */
  readonly connectionsShed: number
  /** Complete blocks read, taken or refused. */
  readonly received: number
  readonly receivedBytes: number
  /** Messages accepted whose sender was told so, or asked not to be told. */
  readonly acknowledged: number
  /** Messages accepted whose sender had gone: it will send them again. */
  readonly unanswered: number
  /** Attempts not stored, by reason. */
  readonly refused: Readonly<Record<RefusalCount, number>>
  /** Bytes outside blocks other than CR and LF. */
  readonly junkBytes: number
  readonly emptyFrames: number
  /** Read and not settled. */
  readonly inFlight: number
  readonly inFlightBytes: number
  /** Memory held for incomplete messages. */
  readonly heldBytes: number
}

/** The mutable side of MllpStatistics. */
export class MllpCounters {
  connectionsOpen = 0
  connectionsAccepted = 0
  readonly connectionsRefused: Record<ConnectionRefusal, number> = {
    'not-allowed': 0,
    'too-many': 0,
    tls: 0,
    resources: 0,
  }
  connectionsTimedOut = 0
  connectionsShed = 0
  received = 0
  receivedBytes = 0
  acknowledged = 0
  unanswered = 0
  readonly refused: Record<RefusalCount, number> = {
    'too-large': 0,
    'no-readable-msh': 0,
    stopping: 0,
    'disk-full': 0,
    'not-allowed': 0,
    'bad-frame': 0,
    validation: 0,
    'retry-later': 0,
  }
  junkBytes = 0
  emptyFrames = 0
  inFlight = 0
  inFlightBytes = 0
  heldBytes = 0

  /** A copy that later events do not change. */
  snapshot(): MllpStatistics {
    return { ...this, connectionsRefused: { ...this.connectionsRefused }, refused: { ...this.refused } }
  }
}
