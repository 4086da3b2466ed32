import type { ConnectionRefusal, RefusalCount } from './statistics.js'

/** Why a connection ended. */
export type DisconnectReason = 'sender-closed' | 'idle' | 'frame-timeout' | 'shed' | 'stopping' | 'error'

/** What a receiver reports as it happens: connection, peer address, control id; never message content. */
export type MllpEvent =
  | { readonly event: 'listening'; readonly host: string; readonly port: number }
  | { readonly event: 'connected'; readonly connection: number; readonly peer: string }
  | {
      readonly event: 'connection-refused'
      readonly peer: string
      readonly reason: ConnectionRefusal
      readonly code?: string
    }
  | {
      readonly event: 'disconnected'
      readonly connection: number
      readonly peer: string
      readonly reason: DisconnectReason
      readonly code?: string
    }
  | {
      readonly event: 'refused'
      readonly connection: number
      readonly peer: string
      readonly reason: RefusalCount
      readonly controlId?: string
      readonly bytes: number
    }
  /** Once per connection: it sends bytes outside MLLP blocks. */
  | { readonly event: 'junk'; readonly connection: number; readonly peer: string; readonly bytes: number }

export type MllpListener = (event: MllpEvent) => void
