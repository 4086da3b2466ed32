import type { AddressInfo } from 'node:net'
import type { Static, TSchema } from '@sinclair/typebox'
import type { IgnoreReason, RefusedError, RetryableError } from '../core/errors.js'
import type { EncounterEvent, ImagingReport, LabReport, OrderEvent, PatientEvent } from '../schemas/types.js'
import type { FileFormat } from './files/format.js'

/** The sender's bytes, never re-encoded, and what was read of them before the acknowledgement. */
export interface IncomingMessage {
  readonly content: Buffer
  /** MSH-10 or its like. */
  readonly controlId?: string
  /** File name or its like. */
  readonly sourceName?: string
  /** Index within the file, from 1. */
  readonly sourceIndex?: number
  /** ms since 1970-01-01T00:00:00Z */
  readonly receivedAt: number
}

/** Settle exactly once. Until then the sender still owns the message. */
export interface Delivery {
  readonly message: IncomingMessage
  /** The spool holds it durably. */
  accept(): Promise<void>
  /** Not stored, and the sender is told so. */
  refuse(error: RefusedError | RetryableError): Promise<void>
}

/** A message as the parse role gets it: bytes and everything that is fixed about them. */
export interface RawInput {
  readonly content: Buffer
  readonly feed: string
  readonly hospital: string
  readonly environment: string
  /** First receipt, ms. */
  readonly receivedAt: number
  readonly messageId: string
}

/** An event without its envelope: the pipeline adds that. */
export type ReceivedEvent =
  | { readonly domain: 'lab-report'; readonly body: Omit<LabReport, 'envelope'> }
  | { readonly domain: 'imaging-report'; readonly body: Omit<ImagingReport, 'envelope'> }
  | { readonly domain: 'patient'; readonly body: Omit<PatientEvent, 'envelope'> }
  | { readonly domain: 'encounter'; readonly body: Omit<EncounterEvent, 'envelope'> }
  | { readonly domain: 'order'; readonly body: Omit<OrderEvent, 'envelope'> }

/** What a message comes to: events, or the reason it is kept but not used. */
export interface Parsed {
  readonly controlId: string | null
  readonly messageType: string | null
  readonly events: readonly ReceivedEvent[]
  /** Set exactly where `events` is empty. */
  readonly ignored?: { readonly reason: IgnoreReason; readonly detail: string }
}

/** Pure: bytes and configuration in, events out; the same again on every replay. @throws RecordError */
export type Parser = (input: RawInput) => Parsed

/** Deliveries of one source, and what can be seen of it from outside. */
export interface Receiver extends AsyncIterable<Delivery> {
  /** Resolves once a listening source can be reached. */
  readonly listening?: Promise<AddressInfo>
  /** Numbers by counter name, or by name and reason; no content, no address, no file name. */
  stats?(): object
}

/** One source protocol or feed format; knows nothing downstream of it. */
export interface Connector<C extends TSchema> {
  /** A noun: "hl7v2-mllp". */
  readonly name: string
  /** Types, lint, reference page and console form derive from it. */
  readonly config: C
  /** How messages of this source stand in files, for what reads them again: replay, golden cases. */
  readonly files: FileFormat
  /** Whether the beginning of a file is of this source by its content; left out where content cannot tell. */
  recognises?(head: Buffer): boolean
  receive(config: Static<C>, signal: AbortSignal): Receiver
  /** What is wrong with settings that each have the form they must have, by the name of the setting. */
  problems?(config: Static<C>): readonly { readonly setting: string; readonly message: string }[]
  /** Compiles the feed's configuration once; what it returns is pure. */
  parser(config: Static<C>): Parser
}
