/** Resolves after the time given, or at once when `signal` aborts. */
export function pause(waitMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true || waitMs <= 0) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, waitMs)
    signal?.addEventListener('abort', done, { once: true })
  })
}
