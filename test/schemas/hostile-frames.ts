// Run in a child with a small heap: decodes frames that state far more than they hold, and says what became of each.
import { openCodec } from '../../schemas/codec.js'
import { bloodCount } from './sample-events.js'

const codec = await openCodec()
const event = { ...bloodCount(0), flags: [] as string[] }
const empty = codec.encode('lab-report', event)
// the frame ends with observations 0, documents 0, allowMove 0, flags 0
const stem = empty.subarray(0, -4)
const huge = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f]) // 2^31 - 1
const longest = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]) // 2^52 and more
const negative = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0x02])

function long(value: number): Buffer {
  const bytes: number[] = []
  let left = value * 2
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80)
  return Buffer.from([...bytes, left])
}

const body = 12 * 1024 * 1024
const frames: Record<string, Buffer> = {
  'two thousand million observations': Buffer.concat([stem, huge]),
  'more observations than numbers go': Buffer.concat([stem, longest]),
  'a negative count': Buffer.concat([stem, negative]),
  'two thousand million flags': Buffer.concat([empty.subarray(0, -1), huge]),
  'as many observations as bytes': Buffer.concat([stem, long(body - 1), Buffer.alloc(body, 2)]),
  'a string longer than the frame': Buffer.concat([empty.subarray(0, 5), huge, Buffer.alloc(100)]),
  'varints without an end': Buffer.concat([stem, Buffer.alloc(body, 0xff)]),
  'endless empty blocks': Buffer.concat([stem, Buffer.alloc(1024, 0x01)]),
}

const results = []
for (const [name, frame] of Object.entries(frames)) {
  const before = process.memoryUsage()
  let code = 'read'
  try {
    await codec.decode('lab-report', frame)
  } catch (error) {
    code = (error as { code?: string }).code ?? String(error)
  }
  const after = process.memoryUsage()
  const grown = after.heapUsed + after.external - before.heapUsed - before.external
  results.push({ name, code, grownMiB: Math.round(grown / 2 ** 20) })
}
process.stdout.write(JSON.stringify(results))
