/**
 * 32-bit murmur2 with seed 0x9747b28c, as a signed integer: `Utils.murmur2` of Apache Kafka's Java client, so that a
 * key has the same partition in the embedded log and in Kafka.
 */
export function murmur2(data: Uint8Array): number {
  const multiplier = 0x5bd1e995
  const length = data.length
  let hash = 0x9747b28c ^ length
  const wholeWords = length & ~3
  for (let at = 0; at < wholeWords; at += 4) {
    let word = byte(data, at) | (byte(data, at + 1) << 8) | (byte(data, at + 2) << 16) | (byte(data, at + 3) << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length & 3
  if (rest === 3) hash ^= byte(data, wholeWords + 2) << 16
  if (rest >= 2) hash ^= byte(data, wholeWords + 1) << 8
  if (rest >= 1) hash = Math.imul(hash ^ byte(data, wholeWords), multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

const byte = (data: Uint8Array, at: number): number => data[at] ?? 0

/** The partition of a key as Kafka's default partitioner chooses it: the hash made positive, modulo the partitions. */
export function partitionOf(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key, 'utf8')) & 0x7fffffff) % partitions
}
