import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { expect, test } from 'vitest'
import { readEnvironment } from '../../core/environment.js'
import { openKafkaLog } from '../../log/kafka-log.js'
import { eventLogContract, type EventLogFixture } from './event-log-contract.js'

const { kafkaBrokers, ci } = readEnvironment()

test('CI has a real Kafka', () => {
  if (ci) expect(kafkaBrokers, 'HUTONG_KAFKA_BROKERS').toBeDefined()
})

if (kafkaBrokers !== undefined) eventLogContract('Kafka', () => openFixture(kafkaBrokers))

async function openFixture(brokers: readonly string[]): Promise<EventLogFixture> {
  const prefix = `test-${randomUUID()}`
  const open = () => openKafkaLog({ brokers, prefix, clientId: 'hutong-test' })
  let log = await open()
  return {
    get log() {
      return log
    },
    async reopen() {
      await log.close()
      log = await open()
    },
    topic: (label) => label,
    group: (label) => label,
    async dispose() {
      await log.close()
      const admin = new Kafka({ brokers: [...brokers], clientId: 'hutong-test', logLevel: logLevel.NOTHING }).admin()
      await admin.connect()
      const own = (name: string): boolean => name.startsWith(prefix)
      const topics = (await admin.listTopics()).filter(own)
      if (topics.length > 0) await admin.deleteTopics({ topics })
      const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter(own)
      if (groups.length > 0) await admin.deleteGroups(groups).catch(() => undefined)
      await admin.disconnect()
    },
  }
}
