import { describe, expect, test } from 'vitest'
import { allowPeers } from '../../connectors/hl7v2-mllp/peers.js'
import { UsageError } from '../../core/errors.js'

describe('allowed peers', () => {
  test.each([
    [['10.1.2.3'], '10.1.2.3', true],
    [['10.1.2.3'], '10.1.2.4', false],
    [['10.1.2.3'], '::ffff:10.1.2.3', true],
    [['10.0.0.0/8'], '::ffff:10.9.9.9', true],
    [['10.0.0.0/8'], '11.0.0.1', false],
    [['::ffff:10.1.2.3'], '10.1.2.3', true],
    [['::ffff:10.0.0.0/104'], '10.200.0.1', true],
    [['::ffff:10.0.0.0/104'], '11.0.0.1', false],
    [['fd00::/8'], 'fd12::1', true],
    [['fd00::/8'], 'fe80::1', false],
    [['fe80::1'], 'fe80::1%eth0', true],
    [['::1', '127.0.0.1'], '127.0.0.1', true],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], 'fd00::1', false],
    [[], '127.0.0.1', false],
  ])('%j allows %s: %s', (entries, address, allowed) => {
    expect(allowPeers(entries)(address)).toBe(allowed)
  })

  test('no list allows everybody, a list nobody without an address', () => {
    expect(allowPeers(undefined)(undefined)).toBe(true)
    expect(allowPeers(['0.0.0.0/0'])(undefined)).toBe(false)
  })

  test.each([['lis.local'], ['10.0.0.0/33'], ['10.0.0.0/'], ['fd00::/129'], ['::ffff:10.0.0.0/8'], ['10.0.0']])(
    '%s is not accepted',
    (entry) => {
      expect(() => allowPeers([entry])).toThrow(UsageError)
    },
  )
})
