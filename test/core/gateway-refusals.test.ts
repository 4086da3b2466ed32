import { expect, test } from 'vitest'
import { GatewayRefusal, gatewayRefusals, refusalSentence } from '../../core/gateway-refusals.js'

test('a refusal is told in the language asked for, with what was found', () => {
  const { message } = new GatewayRefusal('feed-unknown', 'ris')
  expect(refusalSentence('feed-unknown', message, 'en')).toMatch(/^feed-unknown: .* \(ris\); what to do: add the feed/)
  expect(refusalSentence('feed-unknown', message, 'zh')).toMatch(/^feed-unknown：.*（ris）；处理办法：在网关配置中加入/)
  expect(refusalSentence('stopping', gatewayRefusals.stopping.en, 'zh')).not.toContain('（')
})

test('a refusal that is given its record keeps code, wording and wait', () => {
  const refusal = new GatewayRefusal('body-too-large', 'a message of 9 bytes', 7).at(3)
  const { code, record, retryAfterSeconds } = refusal
  expect({ code, record, retryAfterSeconds }).toEqual({ code: 'body-too-large', record: 3, retryAfterSeconds: 7 })
  expect(refusal.message).toBe(`${gatewayRefusals['body-too-large'].en}: a message of 9 bytes`)
  expect(new GatewayRefusal('stopping').at(0).message).toBe(gatewayRefusals.stopping.en)
})
