// Reading a blood count (24 OBX, about 3 KB) and taking its facts out: ours against the peers and a bare lazy scanner,
// all in one run on the same 256 texts. `npx vite-node bench/parse.ts [rounds] [millisecondsPerCell]` prints
// messages/s as min, median, max and the ratios. Goals: at least 4 × the best peer and 0.8 × the scanner.
import { Hl7Message as MedplumMessage } from '@medplum/core'
import { createRequire } from 'node:module'
import { readMessage } from '../connectors/hl7v2/message.js'
import { bloodCountText } from './blood-count.js'

const require = createRequire(import.meta.url)
interface Hl7Standard {
  transform(): void
  transformed: unknown
  get(path: string, segment?: number): string | null
}
const HL7 = require('hl7-standard') as new (text: string) => Hl7Standard
interface SimpleSegment {
  name: string
  getField(field: number): string
  getComponent(field: number, component: number): string
}
const simple = require('simple-hl7') as {
  Parser: new () => { parse(text: string): { header: SimpleSegment; getSegments(name: string): SimpleSegment[] } }
}

const rounds = Number(process.argv[2] ?? 5)
const cellMs = Number(process.argv[3] ?? 400)
const texts = Array.from({ length: 256 }, (_, index) => bloodCountText(index))

type Facts = (string | null | undefined)[]

/** MSH-7, 9, 10; PID-3.1, 5.1, 7, 8; OBR-3, 4.1, 22, 25; of each OBX 2, 3.1, 3.2, 3.3, 4, 5, 6, 7, 8, 11, 14. */
function ours(text: string): Facts {
  const message = readMessage(text)
  const msh = message.segment(0)
  const facts: Facts = [msh.text(7), msh.text(9), msh.text(10)]
  const pid = message.first('PID')!
  facts.push(pid.text(3), pid.text(5), pid.text(7), pid.text(8))
  const obr = message.first('OBR')!
  facts.push(obr.text(3), obr.text(4), obr.text(22), obr.text(25))
  for (const obx of message.segments('OBX')) {
    facts.push(obx.text(2), obx.text(3, 1, 1), obx.text(3, 1, 2), obx.text(3, 1, 3), obx.text(4), obx.text(5))
    facts.push(obx.text(6), obx.text(7), obx.text(8), obx.text(11), obx.text(14))
  }
  return facts
}

/** The least a lazy reader can do in this language: indexOf, no delimiters but the usual, no escapes, no checks. */
function scanner(text: string): Facts {
  const facts: Facts = []
  const component = (from: number, to: number, n: number): string => {
    let start = from
    for (let left = n; left > 1; left--) start = text.indexOf('^', start) + 1
    const end = text.indexOf('^', start)
    return text.slice(start, end < 0 || end > to ? to : end)
  }
  for (let at = 0; at < text.length;) {
    let end = text.indexOf('\r', at)
    if (end < 0) end = text.length
    const name = text.slice(at, at + 3)
    const wanted = wantedFields[name]
    if (wanted !== undefined) {
      let field = name === 'MSH' ? 1 : 0
      let start = at
      for (const [number, first, second, third] of wanted) {
        while (field < number) {
          start = text.indexOf('|', start) + 1
          field++
        }
        let stop = text.indexOf('|', start)
        if (stop < 0 || stop > end) stop = end
        facts.push(component(start, stop, first))
        if (second !== undefined) facts.push(component(start, stop, second))
        if (third !== undefined) facts.push(component(start, stop, third))
      }
    }
    at = end + 1
  }
  return facts
}
const wantedFields: Record<string, (readonly [number, number, number?, number?])[]> = {
  MSH: [7, 9, 10].map((field) => [field, 1] as const),
  PID: [3, 5, 7, 8].map((field) => [field, 1] as const),
  OBR: [3, 4, 22, 25].map((field) => [field, 1] as const),
  OBX: [
    [2, 1],
    [3, 1, 2, 3],
    [4, 1],
    [5, 1],
    [6, 1],
    [7, 1],
    [8, 1],
    [11, 1],
    [14, 1],
  ],
}

function simpleHl7(text: string): Facts {
  const message = new simple.Parser().parse(text)
  const header = message.header
  const facts: Facts = [header.getField(5), header.getComponent(7, 1), header.getField(8)]
  const pid = message.getSegments('PID')[0]!
  facts.push(pid.getComponent(3, 1), pid.getComponent(5, 1), pid.getField(7), pid.getField(8))
  const obr = message.getSegments('OBR')[0]!
  facts.push(obr.getField(3), obr.getComponent(4, 1), obr.getField(22), obr.getField(25))
  for (const obx of message.getSegments('OBX')) {
    facts.push(obx.getField(2), obx.getComponent(3, 1), obx.getComponent(3, 2), obx.getComponent(3, 3))
    facts.push(obx.getField(4), obx.getField(5), obx.getComponent(6, 1), obx.getField(7), obx.getField(8))
    facts.push(obx.getField(11), obx.getField(14))
  }
  return facts
}

function medplum(text: string): Facts {
  const message = MedplumMessage.parse(text)
  const msh = message.getSegment('MSH')!
  const facts: Facts = [msh.getComponent(7, 1), msh.getComponent(9, 1), msh.getComponent(10, 1)]
  const pid = message.getSegment('PID')!
  for (const field of [3, 5, 7, 8]) facts.push(pid.getComponent(field, 1))
  const obr = message.getSegment('OBR')!
  for (const field of [3, 4, 22, 25]) facts.push(obr.getComponent(field, 1))
  for (const obx of message.getAllSegments('OBX')) {
    facts.push(obx.getComponent(2, 1), obx.getComponent(3, 1), obx.getComponent(3, 2), obx.getComponent(3, 3))
    for (const field of [4, 5, 6, 7, 8, 11, 14]) facts.push(obx.getComponent(field, 1))
  }
  return facts
}

function hl7Standard(text: string): Facts {
  const message = new HL7(text)
  message.transform()
  const facts: Facts = [message.get('MSH.7.1'), message.get('MSH.9.1'), message.get('MSH.10.1')]
  for (const field of [3, 5, 7, 8]) facts.push(message.get(`PID.${field}.1`))
  for (const field of [3, 4, 22, 25]) facts.push(message.get(`OBR.${field}.1`))
  for (let index = 0; index < 24; index++) {
    facts.push(message.get('OBX.2.1', index), message.get('OBX.3.1', index))
    facts.push(message.get('OBX.3.2', index), message.get('OBX.3.3', index))
    for (const field of [4, 5, 6, 7, 8, 11, 14]) facts.push(message.get(`OBX.${field}.1`, index))
  }
  return facts
}

const readers: Record<string, (text: string) => Facts> = {
  'bare lazy scanner': scanner,
  ours,
  'simple-hl7': simpleHl7,
  '@medplum/core': medplum,
  'hl7-standard': hl7Standard,
}

const reference = scanner(texts[7]!)
for (const [name, read] of Object.entries(readers)) {
  const facts = read(texts[7]!)
  const wrong = reference.findIndex((fact, index) => (facts[index] ?? '') !== fact)
  if (facts.length !== reference.length || wrong >= 0) {
    throw new Error(`${name} takes out other facts: #${wrong} ${facts[wrong]} for ${reference[wrong]}`)
  }
}

let sink = 0
function perSecond(read: (text: string) => Facts, ms: number): number {
  let done = 0
  const start = performance.now()
  let now = start
  while (now - start < ms) {
    for (let index = 0; index < 64; index++) sink += read(texts[(done + index) & 255]!).length
    done += 64
    now = performance.now()
  }
  return (done * 1000) / (now - start)
}

const figures = new Map<string, number[]>(Object.keys(readers).map((name) => [name, []]))
for (const read of Object.values(readers)) perSecond(read, cellMs)
for (let round = 0; round < rounds; round++) {
  for (const [name, read] of Object.entries(readers)) figures.get(name)!.push(perSecond(read, cellMs))
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!
const thousands = (value: number): string => (value / 1000).toFixed(1).padStart(7)
const bytes = Buffer.byteLength(texts[0]!)
console.log(`${texts.length} texts of ${bytes} bytes, ${reference.length} facts each, ${rounds} rounds of ${cellMs} ms`)
console.log('reader              thousand messages/s: min / median / max')
for (const [name, values] of figures) {
  console.log(
    `${name.padEnd(20)}${thousands(Math.min(...values))} ${thousands(median(values))} ${thousands(Math.max(...values))}`,
  )
}
const own = median(figures.get('ours')!)
const best = Math.max(...['simple-hl7', '@medplum/core', 'hl7-standard'].map((name) => median(figures.get(name)!)))
console.log(`ours / best peer     ${(own / best).toFixed(2)}  (goal 4)`)
console.log(`ours / bare scanner  ${(own / median(figures.get('bare lazy scanner')!)).toFixed(2)}  (goal 0.8)`)
if (sink === 0) throw new Error('nothing was read')
