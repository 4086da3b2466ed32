import { BlockList, isIP } from 'node:net'
import { UsageError } from '../../core/errors.js'

/** Whether a peer's address may connect. */
export type PeerCheck = (address: string | undefined) => boolean

/**
 * Compiles a list of IPv4 and IPv6 addresses and CIDR blocks. An IPv4-mapped IPv6 address (`::ffff:10.1.2.3`, what a
 * dual-stack socket reports) counts as its IPv4 address, in the list as from the peer. An empty list allows nobody; no
 * list allows everybody.
 * @throws UsageError for an entry that is neither
 */
export function allowPeers(entries: readonly string[] | undefined): PeerCheck {
  if (entries === undefined) return () => true
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  return (address) => {
    if (address === undefined) return false
    const plain = unmapped(withoutZone(address))
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6')
  }
}

function addEntry(list: BlockList, entry: string): void {
  const slash = entry.indexOf('/')
  const written = slash < 0 ? entry : entry.slice(0, slash)
  const address = unmapped(written)
  const family = isIP(address)
  if (family === 0) throw new UsageError(`allow: ${JSON.stringify(entry)} is not an IP address or CIDR block`)
  const type = family === 4 ? 'ipv4' : 'ipv6'
  if (slash < 0) {
    list.addAddress(address, type)
    return
  }
  const mapped = address !== written
  const prefix = Number(entry.slice(slash + 1)) - (mapped ? 96 : 0)
  if (!/^\d+$/.test(entry.slice(slash + 1)) || prefix < 0 || prefix > (family === 4 ? 32 : 128)) {
    throw new UsageError(`allow: ${JSON.stringify(entry)} has no usable prefix length`)
  }
  list.addSubnet(address, prefix, type)
}

const withoutZone = (address: string): string => address.split('%', 1)[0]!

const unmapped = (address: string): string => /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
