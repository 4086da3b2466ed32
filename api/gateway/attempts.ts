const windowMs = 60_000
const peersMax = 4096

/** Counts what each address got wrong within a minute; the memory for it is bounded. */
export class Attempts {
  private readonly peers = new Map<string, { readonly since: number; count: number }>()

  constructor(
    private readonly attemptsMax: number,
    private readonly now: () => number,
  ) {}

  isExhausted(address: string | undefined): boolean {
    const peer = this.peers.get(peerOf(address))
    return peer !== undefined && this.now() - peer.since < windowMs && peer.count >= this.attemptsMax
  }

  failed(address: string | undefined): void {
    const key = peerOf(address)
    const peer = this.peers.get(key)
    if (peer !== undefined && this.now() - peer.since < windowMs) {
      peer.count++
      return
    }
    this.peers.delete(key)
    this.peers.set(key, { since: this.now(), count: 1 })
    const [oldest] = this.peers.keys()
    if (this.peers.size > peersMax && oldest !== undefined) this.peers.delete(oldest)
  }
}

/** One customer of IPv6 has a whole /64. */
function peerOf(address = ''): string {
  const isIpv6 = address.includes(':') && !address.startsWith('::ffff:')
  return isIpv6 ? address.split(':').slice(0, 4).join(':') : address
}
