import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { corpusMessages, corpusPresent } from './facts.js'

interface PeerSegment {
  readonly type: string
  get(place: string): unknown
}
interface Peer {
  transform(done: (error: Error | undefined) => void): void
  getSegments(name: string): PeerSegment[]
}
const HL7 = createRequire(import.meta.url)('hl7-standard') as new (text: string) => Peer

/** Undefined where the peer refuses the message. It takes only the standard delimiters and CR. */
function readByPeer(text: string): Peer | undefined {
  try {
    const peer = new HL7(text)
    peer.transform((error) => {
      if (error) throw error
    })
    return peer
  } catch {
    return undefined
  }
}

// hl7-standard loses what it does not understand (docs/decisions/0070): where a field has no structure at all, both must
// read the same.
describe.runIf(corpusPresent)('fields without structure read as hl7-standard reads them', () => {
  test('over the whole corpus', { timeout: 120_000 }, () => {
    let compared = 0
    let messages = 0
    const different: string[] = []
    for (const { file, frame, message } of corpusMessages()) {
      if (message === undefined || !/^MSH\|\^~\\&\|/.test(message.text) || message.flags.length > 0) continue
      const peer = readByPeer(message.text.replace(/\r\n|\n/g, '\r').trim())
      if (peer === undefined) continue
      messages++
      for (const segment of message.lines()) {
        const other = peer.getSegments(segment.name)[segment.ordinal - 1]
        if (segment.name === 'MSH' || other === undefined) continue
        segment.fields().forEach((raw, at) => {
          if (raw === '' || raw === '""' || /[\^~\\&]/.test(raw) || raw !== raw.trim()) return
          compared++
          const read = other.get(`${segment.name}.${at + 1}`)
          const text = typeof read === 'string' ? read : JSON.stringify(read)
          if (text !== segment.text(at + 1) && different.length < 20)
            different.push(`${file} #${frame.index} ${segment.name}[${segment.ordinal}]-${at + 1}`)
        })
      }
    }
    expect(different).toEqual([])
    expect(messages).toBeGreaterThan(500)
    expect(compared).toBeGreaterThan(20_000)
  })
})
