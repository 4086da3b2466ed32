import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HOST } from './ports.mjs'
import { run } from './processes.mjs'
import { findJava, resolveRuntime } from './runtime.mjs'

const LOGGING = fileURLToPath(new URL('./kafka-log4j2.properties', import.meta.url))
const CLUSTER_ID = 'aHV0b25nLXN0YWNrLXYxMA' // 16 bytes in base64url

/** Apache Kafka, one KRaft node that is broker and controller. */
export const kafka = {
  name: 'kafka',
  title: 'Apache Kafka',
  ports: ['broker', 'controller'],
  stopSignal: 'SIGTERM',
  variables: ({ broker }) => ({ HUTONG_KAFKA_BROKERS: `${HOST}:${broker}` }),

  prepare({ dir, ports, report }) {
    const { kafkaClassPath } = resolveRuntime(report)
    const java = findJava()
    const configuration = join(dir, 'server.properties')
    const data = join(dir, 'data')
    mkdirSync(dir, { recursive: true })
    writeFileSync(configuration, serverProperties(data, ports))
    const jvm = ['-cp', kafkaClassPath, `-Dlog4j2.configurationFile=${LOGGING}`, '-Djava.awt.headless=true']
    const formatted = join(dir, 'formatted')
    if (!existsSync(formatted)) {
      rmSync(data, { recursive: true, force: true })
      const format = ['kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', configuration]
      run(java, [...jvm, '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', ...format])
      writeFileSync(formatted, '')
    }
    const heap = ['-Xms512m', '-Xmx768m', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-XX:+ExitOnOutOfMemoryError']
    return { command: java, args: [...heap, ...jvm, 'kafka.Kafka', configuration], cwd: dir }
  },

  answers: ({ ports }) => hasBroker(ports.broker),
}

function serverProperties(data, { broker, controller }) {
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${HOST}:${controller}`,
    listeners: `PLAINTEXT://${HOST}:${broker},CONTROLLER://${HOST}:${controller}`,
    'advertised.listeners': `PLAINTEXT://${HOST}:${broker}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': data,
    // a topic that nobody created is a mistake, here as in production
    'auto.create.topics.enable': false,
    'delete.topic.enable': true,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 8,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 8,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'log.cleaner.dedupe.buffer.size': 16 << 20,
    // a killed broker may register again only when its old session is over: the default of 9 s lengthens each restart
    'broker.session.timeout.ms': 5000,
    'broker.heartbeat.interval.ms': 1000,
    'num.network.threads': 2,
    'num.io.threads': 4,
    'num.recovery.threads.per.data.dir': 2,
  }
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

/** Asks for the cluster's metadata (Kafka protocol, Metadata v0) and looks for a broker that clients can use. */
function hasBroker(port) {
  // length, API key 3, version 0, correlation id 1, no client id, no topics named
  const request = Buffer.from('0000000e0003000000000001ffff00000000', 'hex')
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port })
    let answer = Buffer.alloc(0)
    const finish = (found) => {
      socket.destroy()
      resolve(found)
    }
    socket.setTimeout(2000, () => finish(false))
    socket.once('error', () => finish(false))
    socket.once('close', () => finish(false))
    socket.once('connect', () => socket.write(request))
    socket.on('data', (bytes) => {
      answer = Buffer.concat([answer, bytes])
      // length, correlation id, number of brokers
      if (answer.length >= 12) finish(answer.readInt32BE(4) === 1 && answer.readInt32BE(8) > 0)
    })
  })
}
