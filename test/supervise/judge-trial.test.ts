import { expect, test } from 'vitest'
import { judgeTrial, type TrialView } from '../../cli/supervise/judge-trial.js'

const well: TrialView = {
  ...{ elapsedMs: 300_000, probationMs: 300_000, starts: 1, crashes: 0, reported: true, reportedByFormer: undefined },
  health: { ready: true, listening: ['lis'], uplinkAccepted: true },
  feeds: ['lis'],
  before: { uplinkAccepted: true, feeds: ['lis'] },
}
const judge = (more: Partial<TrialView>): ReturnType<typeof judgeTrial> => judgeTrial({ ...well, ...more })

test('a release that does well is kept when its trial is over, not before', () => {
  expect(judge({})).toEqual({ state: 'keep' })
  expect(judge({ elapsedMs: 1000 })).toEqual({ state: 'wait' })
})

test('what does not do well is rolled back for its reason', () => {
  const health = well.health!
  expect(judge({ crashes: 3, elapsedMs: 1000 })).toMatchObject({ code: 'crash-loop' })
  expect(judge({ starts: 4 })).toMatchObject({ code: 'crash-loop' })
  expect(judge({ health: undefined })).toEqual({ state: 'wait' })
  expect(judge({ health: undefined, elapsedMs: 600_000 })).toMatchObject({ code: 'not-ready' })
  expect(judge({ health: { ...health, listening: [] } })).toMatchObject({ code: 'feeds-not-listening' })
  expect(judge({ health: { ...health, uplinkAccepted: false } })).toMatchObject({ code: 'uplink-refused' })
})

test('a gateway that is away for both uplinks is no fault of the release', () => {
  expect(judge({ reported: false })).toEqual({ state: 'ask-former-uplink' })
  expect(judge({ reported: false, reportedByFormer: false })).toEqual({ state: 'wait' })
  expect(judge({ reported: false, reportedByFormer: true })).toMatchObject({ code: 'uplink-refused' })
})
