/** Topics, without the prefix that an adapter puts before them (`<prefix>.raw`). */
export const domains = ['patient', 'encounter', 'order', 'lab-report', 'imaging-report'] as const
export type Domain = (typeof domains)[number]
export type Lane = 'live' | 'bulk'

export type Topic = string

/** `raw`, keyed by feed; its bulk twin is `raw.bulk`. */
export const rawTopic = (lane: Lane): Topic => inLane('raw', lane)
/** `<domain>.received`: result events keyed by report key, patient and encounter events by hospital patient. */
export const receivedTopic = (domain: Domain, lane: Lane): Topic => inLane(`${domain}.received`, lane)
export const normalizedTopic = (domain: Domain, lane: Lane): Topic => inLane(`${domain}.normalized`, lane)
export const deadLetterTopic: Topic = 'dead-letter'

const inLane = (topic: string, lane: Lane): Topic => (lane === 'bulk' ? `${topic}.bulk` : topic)

export const lanes: readonly Lane[] = ['live', 'bulk']
export const allTopics: readonly Topic[] = [
  ...lanes.flatMap((lane) => [
    rawTopic(lane),
    ...domains.flatMap((domain) => [receivedTopic(domain, lane), normalizedTopic(domain, lane)]),
  ]),
  deadLetterTopic,
]

/** What a topic carries: `raw`, `dead-letter` or a domain. @throws Error for a topic that is not ours */
export function contentOf(topic: Topic): 'raw' | 'dead-letter' | Domain {
  const base = topic.replace(/\.bulk$/, '').replace(/\.(received|normalized)$/, '')
  if (base === 'raw' || base === 'dead-letter') return base
  const domain = domains.find((name) => name === base)
  if (domain === undefined) throw new Error(`${topic} is not a topic of this pipeline`)
  return domain
}
