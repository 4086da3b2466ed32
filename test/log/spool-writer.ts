import { systemClock } from '../../core/clock.js'
import { openSpool } from '../../log/spool-store.js'

// A process that accepts messages until it is killed: one line `<feed> <epoch> <seq> <content>` for each acknowledged.
const [dir, life] = process.argv.slice(2) as [string, string]
const spool = await openSpool({
  dir,
  environment: 'test',
  clock: systemClock,
  retention: { maxBytes: 1e9, maxAgeMs: 1e9 },
  diskReserveBytes: 0,
  segmentBytes: 256 * 1024,
})
process.stdout.write('open\n')
const writer = async (feed: string): Promise<never> => {
  for (let at = 0; ; at++) {
    const content = `${feed}.${life}.${at}`
    const padded = Buffer.from(`${content}|${'x'.repeat((at * 37) % 5000)}`)
    const { epoch, seq } = await spool.accept({ feed, content: padded, receivedAt: Date.now() })
    process.stdout.write(`${feed} ${epoch} ${seq} ${content}\n`)
  }
}
const forwarder = async (): Promise<void> => {
  for await (const batch of spool.unforwarded(new AbortController().signal, { recordsMax: 50 })) {
    const lines = batch.messages.map(({ feed, epoch, seq }) => `forwarded ${feed} ${epoch} ${seq}\n`)
    // Handed over to the pipe before the cursor moves: a full pipe would keep them in this process, which is killed.
    await new Promise((resolve) => process.stdout.write(lines.join(''), resolve))
    await batch.forwarded()
  }
}
await Promise.all([
  ...['his', 'lis', 'pacs'].flatMap((feed) => [writer(`${feed}-a`), writer(`${feed}-b`)]),
  forwarder(),
])
