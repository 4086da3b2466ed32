import { createHmac } from 'node:crypto'

/** Everything that looks random here is HMAC-SHA-256 of what it stands for: the same key gives the same pseudonyms. */
export class Keyed {
  constructor(private readonly key: Buffer) {}

  /** 32 bytes. */
  digest(purpose: string, value: string): Buffer {
    return createHmac('sha256', this.key).update(`${purpose}\0${value}`, 'utf8').digest()
  }

  /** 0 to n - 1. */
  integer(purpose: string, value: string, n: number): number {
    return this.digest(purpose, value).readUInt32BE(0) % n
  }

  /** Characters of `text` replaced by others of their pools, drawn by `value`; characters without a pool stay. */
  substitute(
    purpose: string,
    value: string,
    text: string,
    poolOf: (character: string, at: number) => readonly string[],
  ): string {
    let bytes = this.digest(purpose, value)
    let used = 0
    return Array.from(text, (character, at) => {
      const pool = poolOf(character, at)
      if (pool.length === 0) return character
      if (used + 2 > bytes.length) {
        bytes = this.digest(`${purpose} ${at}`, value)
        used = 0
      }
      const draw = bytes.readUInt16BE(used)
      used += 2
      return pool[draw % pool.length]!
    }).join('')
  }

  /**
   * A permutation of the numbers below `size` (a Feistel network of ten rounds, repeated while it leaves the range):
   * different values stay different, which a draw by hash would not promise.
   */
  permute(purpose: string, value: bigint, size: bigint): bigint {
    if (size <= 1n) return value
    const side = squareRootUp(size)
    let at = value
    do {
      let left = at / side
      let right = at % side
      for (let round = 0; round < 10; round++) {
        const drawn = BigInt(`0x${this.digest(`${purpose} ${size} ${round}`, right.toString()).toString('hex')}`)
        ;[left, right] = [right, (left + drawn) % side]
      }
      at = left * side + right
    } while (at >= size)
    return at
  }
}

function squareRootUp(n: bigint): bigint {
  let low = 1n
  let high = 1n << BigInt(Math.ceil(n.toString(2).length / 2))
  while (low < high) {
    const middle = (low + high) / 2n
    if (middle * middle >= n) high = middle
    else low = middle + 1n
  }
  return low
}
