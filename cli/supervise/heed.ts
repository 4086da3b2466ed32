import type { Runtime } from '../runtime.js'
import { supervisorWords } from './health.js'

/**
 * Answers the supervisor that started this process, where one did, and stops gracefully when it says so or is gone: two
 * programs cannot hold one spool.
 */
export function heedSupervisor(runtime: Pick<Runtime, 'health' | 'logger'>): {
  readonly stopped: AbortSignal
  leave(): void
} {
  const stop = new AbortController()
  if (process.send === undefined) return { stopped: stop.signal, leave: () => undefined }
  const heard = (word: unknown): void => {
    if (word === supervisorWords.stop) stop.abort()
    if (word !== supervisorWords.health) return
    runtime.health().then(
      (health) => process.connected && process.send?.(health, () => undefined),
      (error: unknown) => runtime.logger.error({ err: error }, 'the state of this process cannot be told'),
    )
  }
  const gone = (): void => stop.abort()
  // it may have died while this process opened its parts
  if (!process.connected) gone()
  process.on('message', heard)
  process.on('disconnect', gone)
  return {
    stopped: stop.signal,
    leave() {
      process.off('message', heard)
      process.off('disconnect', gone)
      if (process.connected) process.disconnect()
    },
  }
}
