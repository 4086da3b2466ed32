// A process that is one member of a group: writes a line `<partition> <offset> <key> <value> .` for every record
// it handled, until its standard input ends or it is killed. Arguments: brokers, prefix, topic, group, session timeout ms.
import { RetryableError } from '../../core/errors.js'
import { openKafkaLog } from '../../log/kafka-log.js'

const [brokers, prefix, topic, group, sessionTimeoutMs] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const stop = new AbortController()
process.stdin.once('end', () => stop.abort()).resume()
const log = await openKafkaLog({
  brokers: brokers.split(','),
  prefix,
  clientId: 'member',
  sessionTimeoutMs: Number(sessionTimeoutMs),
})
for await (const batch of log.consume([topic], group, stop.signal, { recordsMax: 20, lingerMs: 5 })) {
  // the work, then the commit: whoever is killed in between has the records come again elsewhere
  process.stdout.write(
    batch.records.map(({ partition, offset, key, value }) => `${partition} ${offset} ${key} ${value} .\n`).join(''),
  )
  try {
    await batch.commit()
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error
    await batch.release()
  }
}
await log.close()
