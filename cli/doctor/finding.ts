import type { Configuration } from '../config.js'

/** One thing looked at. A warning works today and will hurt; a failure does not work. */
export interface Finding {
  readonly part: string
  readonly state: 'ok' | 'warning' | 'failure'
  readonly detail: string
}

/** The text in the language of the reader. */
export type Say = (en: string, zh: string) => string

export type Look = (configuration: Configuration, say: Say) => Promise<readonly Finding[]>

export const ok = (part: string, detail: string): Finding => ({ part, state: 'ok', detail })
export const warning = (part: string, detail: string): Finding => ({ part, state: 'warning', detail })
export const failure = (part: string, detail: string): Finding => ({ part, state: 'failure', detail })
