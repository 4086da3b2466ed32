import type { Partition } from './event-log.js'

export const partitionId = ({ topic, partition }: Partition): string => `${topic}/${partition}`

/**
 * Shares partitions among members: as evenly as can be, per topic by those who consume it, and everybody keeps what it
 * has as far as that allows. Pure; members in the order in which they joined.
 */
export function assign<M extends { readonly topics: readonly string[] }>(
  partitions: readonly Partition[],
  members: readonly M[],
  owners: ReadonlyMap<string, M>,
): Map<string, M> {
  const next = new Map<string, M>()
  for (const topic of new Set(partitions.map((partition) => partition.topic))) {
    const able = members.filter((member) => member.topics.includes(topic))
    if (able.length === 0) continue
    const ids = partitions.filter((partition) => partition.topic === topic).map(partitionId)
    const least = Math.floor(ids.length / able.length)
    let extra = ids.length - least * able.length
    const free: string[] = []
    const held = new Map<M, number>(able.map((member) => [member, 0]))
    for (const id of ids) {
      const owner = owners.get(id)
      const count = owner === undefined ? undefined : held.get(owner)
      if (owner === undefined || count === undefined || count > least || (count === least && extra === 0)) {
        free.push(id)
        continue
      }
      if (count === least) extra--
      held.set(owner, count + 1)
      next.set(id, owner)
    }
    for (const id of free) {
      const [member] = [...held].reduce((fewest, entry) => (entry[1] < fewest[1] ? entry : fewest))
      held.set(member, (held.get(member) ?? 0) + 1)
      next.set(id, member)
    }
  }
  return next
}
