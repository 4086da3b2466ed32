import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const count = Type.Integer({ minimum: 0 })

/** What `hutong run` tells its supervisor over the IPC channel, which Windows has too. */
export const runHealth = Type.Object({
  kind: Type.Literal('health'),
  ready: Type.Boolean(),
  notReady: Type.Array(Type.String()),
  spool: Type.Union([
    Type.Object({ messages: count, bytes: count, oldestSeconds: count, accepting: Type.Boolean() }),
    Type.Null(),
  ]),
  uplinkAccepted: Type.Union([Type.Boolean(), Type.Null()]),
  feeds: Type.Array(
    Type.Object({ name: Type.String(), listening: Type.Boolean(), lastAcceptedAt: Type.Union([count, Type.Null()]) }),
  ),
})
export type RunHealth = Static<typeof runHealth>

/** What the supervisor says. */
export const supervisorWords = { health: 'hutong-health', stop: 'hutong-stop' } as const

export const healthOf = (message: unknown): RunHealth | undefined =>
  Value.Check(runHealth, message) ? message : undefined
