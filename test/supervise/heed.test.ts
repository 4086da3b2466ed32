import { describe, expect, test, vi } from 'vitest'
import { createLogger } from '../../core/telemetry.js'
import { heedSupervisor } from '../../cli/supervise/heed.js'

const runtime = {
  health: () => Promise.reject(new Error('not asked here')),
  logger: createLogger({ level: 'silent', role: 'test' }),
}

/** This process as one with a channel to its parent, open or closed. */
function withChannel<T>(isOpen: boolean, use: () => T): T {
  const names = ['connected', 'send'] as const
  const before = names.map((name) => Object.getOwnPropertyDescriptor(process, name))
  Object.defineProperty(process, 'connected', { value: isOpen, configurable: true, writable: true })
  Object.defineProperty(process, 'send', { value: vi.fn(), configurable: true, writable: true })
  try {
    return use()
  } finally {
    names.forEach((name, index) => {
      const was = before[index]
      if (was === undefined) Reflect.deleteProperty(process, name)
      else Object.defineProperty(process, name, was)
    })
  }
}

describe('a program under a supervisor', () => {
  test('stops where the supervisor died while the program was starting', () => {
    const { stopped } = withChannel(false, () => heedSupervisor(runtime))
    expect(stopped.aborted).toBe(true)
  })

  test('runs while its supervisor is there', () => {
    const stopped = withChannel(true, () => {
      const heeded = heedSupervisor(runtime)
      Object.defineProperty(process, 'connected', { value: false, configurable: true, writable: true })
      heeded.leave() // removes its listeners from this process
      return heeded.stopped
    })
    expect(stopped.aborted).toBe(false)
  })
})
