import { describe, expect, test } from 'vitest'
import { ack, encodeFrame, enq, eot, etx, nak, stx } from '../../connectors/astm-lis2/control.js'
import { FrameReader } from '../../connectors/astm-lis2/frame-reader.js'
import { ReceiverLink, type LinkAction, type LinkSettings } from '../../connectors/astm-lis2/receiver-link.js'
import { framesOf, SenderLink, standardTimes, type SenderAction } from '../../connectors/astm-lis2/sender-link.js'
import { results } from './astm-client.js'

const settings: LinkSettings = {
  maxFrameBytes: 65_536,
  maxMessageBytes: 1024 * 1024,
  frameNumbers: 'check',
  frameTimeoutMs: 30_000,
  answerTimeoutMs: 10_000,
  endGraceMs: 300,
}

const open = Buffer.of(enq)
const end = Buffer.of(eot)
const frame = (number: number, text: string, last = true): Buffer => encodeFrame(number, Buffer.from(text), last)

/** What a link wrote, handed over and noted, in order, as words. */
const said = (actions: readonly LinkAction[]): string[] =>
  actions.flatMap((action) => {
    switch (action.do) {
      case 'write':
        return [action.byte === ack ? 'ACK' : 'NAK']
      case 'offer':
        return action.messages.map((message) => `offer ${message.toString().replaceAll('\r', '/')}`)
      case 'keep':
        return [`keep ${action.remainder.toString().replaceAll('\r', '/')}`]
      case 'note':
        return action.note === 'session' ? [] : [action.note]
      case 'timer':
        return []
    }
  })

/** Gives each part to a link and collects what it says; a number settles, a word is a timer. */
function run(parts: readonly (Buffer | boolean | 'frame' | 'answer' | 'tail')[], more: Partial<LinkSettings> = {}) {
  const link = new ReceiverLink({ ...settings, ...more })
  return parts.map((part) =>
    said(
      typeof part === 'boolean' ? link.settled(part) : typeof part === 'string' ? link.timer(part) : link.bytes(part),
    ).join(' '),
  )
}

describe('the receiver of a line', () => {
  test('answers earlier frames at once and the one with L when the message is durable', () => {
    expect(run([open, frame(1, 'H|\\^&\r'), frame(2, 'L|1|N\r'), true, end])).toEqual([
      'ACK',
      'ACK',
      'offer H|\\^&/L|1|N/',
      'ACK',
      '',
    ])
  })

  test('answers NAK where storing fails, and takes the repetition for a new attempt', () => {
    const last = frame(2, 'L|1\r')
    expect(run([open, frame(1, 'H|\\^&\r'), last, false, last, true])).toEqual([
      'ACK',
      'ACK',
      'offer H|\\^&/L|1/',
      'NAK',
      'offer H|\\^&/L|1/',
      'ACK',
    ])
  })

  test('a frame whose ACK was lost counts once', () => {
    const first = frame(1, 'H|\\^&\r')
    const last = frame(2, 'L|1\r')
    expect(run([open, first, first, last, true, last])).toEqual([
      'ACK',
      'ACK',
      'repeated ACK',
      'offer H|\\^&/L|1/',
      'ACK',
      'repeated ACK',
    ])
  })

  test('slow storing: NAK before the sender gives up, the repetition waits for the same message', () => {
    const last = frame(2, 'L|1\r')
    expect(run([open, frame(1, 'H|\\^&\r'), last, 'answer', last, true])).toEqual([
      'ACK',
      'ACK',
      'offer H|\\^&/L|1/',
      'NAK',
      'repeated',
      'ACK',
    ])
    // Stored after the NAK: the repetition is a repetition.
    expect(run([open, frame(1, 'H|\\^&\r'), last, 'answer', true, last]).slice(3)).toEqual(['NAK', '', 'repeated ACK'])
  })

  test('a bad checksum, a wrong number and a frame without number are answered NAK', () => {
    const bad = frame(1, 'H|\\^&\r')
    bad[3] = 0x7e
    expect(run([open, bad, frame(3, 'H|\\^&\r'), Buffer.from('\x02\x0300\r\n'), frame(1, 'H|\\^&\r')])).toEqual([
      'ACK',
      'bad-checksum NAK',
      'wrong-number NAK',
      'bad-frame NAK',
      'ACK',
    ])
  })

  test('numbers go on after 7 with 0', () => {
    const numbers = [1, 2, 3, 4, 5, 6, 7, 0, 1]
    const answers = run([open, ...numbers.map((number, at) => frame(number, at === 0 ? 'H|\\^&\r' : `C|${at}\r`))])
    expect(answers).toEqual(Array(10).fill('ACK'))
  })

  test('numbers may be ignored; an equal frame is a repetition all the same', () => {
    expect(
      run([open, frame(1, 'H|\\^&\r'), frame(1, 'P|1\r'), frame(1, 'P|1\r'), frame(1, 'L|1\r'), true], {
        frameNumbers: 'ignore',
      }),
    ).toEqual(['ACK', 'ACK', 'ACK', 'repeated ACK', 'offer H|\\^&/P|1/L|1/', 'ACK'])
  })

  test('one record over several frames, several in one, and a CR the sender leaves out', () => {
    expect(run([open, frame(1, 'H|\\^&', false), frame(2, '|||X\r'), frame(3, 'L|1\r'), true]).at(-2)).toBe(
      'offer H|\\^&|||X/L|1/',
    )
    expect(run([open, frame(1, 'H|\\^&\rP|1\rL|1\r')]).at(-1)).toBe('offer H|\\^&/P|1/L|1/')
    expect(run([open, frame(1, 'H|\\^&'), frame(2, 'P|1'), frame(3, 'L|1')]).at(-1)).toBe('offer H|\\^&/P|1/L|1/')
    expect(run([open, frame(1, 'H|\\^&\r\n'), frame(2, 'P|1\r\n'), frame(3, 'L|1\r\n')]).at(-1)).toBe(
      'offer H|\\^&/\nP|1/\nL|1/\n',
    )
  })

  test('several messages in a session, and two that one frame completes are answered together', () => {
    expect(run([open, frame(1, 'H|\\^&\rL|1\rH|\\^&|2\rL|1\r'), true])).toEqual([
      'ACK',
      'offer H|\\^&/L|1/ offer H|\\^&|2/L|1/',
      'ACK',
    ])
    expect(run([open, frame(1, 'H|\\^&\rL|1\r'), true, frame(2, 'H|\\^&|2\rL|1\r'), true])).toEqual([
      'ACK',
      'offer H|\\^&/L|1/',
      'ACK',
      'offer H|\\^&|2/L|1/',
      'ACK',
    ])
  })

  test('a message without L is kept at EOT, at ENQ, at the next H, at silence and at the end of the connection', () => {
    const start = [open, frame(1, 'H|\\^&\r'), frame(2, 'P|1\r')]
    expect(run([...start, end]).at(-1)).toBe('keep H|\\^&/P|1/')
    expect(run([...start, open]).at(-1)).toBe('keep H|\\^&/P|1/ not-ready NAK')
    expect(run([...start, frame(3, 'H|\\^&|2\r')]).at(-1)).toBe('offer H|\\^&/P|1/')
    expect(run([...start, 'frame']).at(-1)).toBe('timed-out keep H|\\^&/P|1/')
    const link = new ReceiverLink(settings)
    for (const part of start) link.bytes(part)
    expect(said(link.closed())).toEqual(['keep H|\\^&/P|1/'])
  })

  test('after a NAK the sender owns the message, and nothing is kept', () => {
    const bad = frame(2, 'P|1\r')
    bad[3] = 0x7e
    expect(run([open, frame(1, 'H|\\^&\r'), bad, end]).at(-1)).toBe('abandoned')
  })

  test('EOT within a frame ends the session; what follows is outside of it', () => {
    const cut = frame(2, 'P|1\r').subarray(0, 4)
    expect(run([open, frame(1, 'H|\\^&\r'), cut, end, frame(2, 'P|1\r')]).slice(2)).toEqual([
      '',
      'keep H|\\^&/',
      'outside-session',
    ])
  })

  test('a frame without CR LF ends with silence, or with the next frame', () => {
    const bare = frame(1, 'H|\\^&\r').subarray(0, -2)
    expect(run([open, bare, 'tail'])).toEqual(['ACK', '', 'ACK'])
    expect(run([open, bare, frame(2, 'L|1\r')])).toEqual(['ACK', '', 'ACK offer H|\\^&/L|1/'])
  })

  test('a frame and a message beyond the bounds are answered NAK, and nothing of them is held', () => {
    const bounds = { maxFrameBytes: 300, maxMessageBytes: 512 }
    const text = 'x'.repeat(290)
    expect(run([open, frame(1, `H|\\^&|${'x'.repeat(400)}\r`)], bounds)).toEqual(['ACK', 'frame-too-long NAK'])
    expect(run([open, frame(1, `${text}\r`), frame(2, `${text}\r`)], bounds)).toEqual([
      'ACK',
      'ACK',
      'message-too-large NAK',
    ])
  })

  test('an instrument that heard an ENQ sends its own again, and is taken', () => {
    expect(run([open, open, frame(1, 'H|\\^&\r')])).toEqual(['ACK', 'ACK', 'ACK'])
  })

  test('a message that is stored when the session has ended is not answered into the next one', () => {
    const last = frame(2, 'L|1\r')
    expect(run([open, frame(1, 'H|\\^&\r'), last, end, open, true, open])).toEqual([
      'ACK',
      'ACK',
      'offer H|\\^&/L|1/',
      '',
      'not-ready NAK',
      '',
      'ACK',
    ])
  })

  test('a busy receiver answers ENQ with NAK', () => {
    const link = new ReceiverLink(settings)
    link.busy = true
    expect(said(link.bytes(open))).toEqual(['not-ready', 'NAK'])
  })
})

describe('the sender of a line', () => {
  const message = results('C1')
  const words = (actions: readonly SenderAction[]): string[] =>
    actions.map((action) =>
      action.do === 'write'
        ? ({ [enq]: 'ENQ', [eot]: 'EOT' }[action.bytes[0]!] ?? `frame ${action.bytes.toString('latin1', 1, 3)}`)
        : action.do === 'timer'
          ? `timer ${action.ms}`
          : action.do === 'failed'
            ? action.reason
            : action.do,
    )
  const reply = (link: SenderLink, byte: number): string[] => words(link.bytes(Buffer.of(byte)))

  test('bids, sends frame after frame, and ends', () => {
    const link = new SenderLink()
    expect(words(link.send(message))).toEqual(['ENQ', 'timer 15000'])
    expect(['1H', '2P', '3O', '4R', '5C', '6L'].map(() => reply(link, ack)[0])).toEqual(
      ['1H', '2P', '3O', '4R', '5C', '6L'].map((text) => `frame ${text}`),
    )
    expect(reply(link, ack)).toEqual(['EOT', 'timer 0', 'sent'])
  })

  test('contention: the instrument bids again after 1 s, the LIS after 20 s', () => {
    for (const [role, ms] of [
      ['instrument', 1000],
      ['lis', 20_000],
    ] as const) {
      const link = new SenderLink(role)
      link.send(message)
      expect(reply(link, enq)).toEqual([`timer ${ms}`])
      expect(words(link.timer())[0]).toBe('ENQ')
    }
  })

  test('a receiver that is not ready is asked again after 10 s, six times at most', () => {
    const link = new SenderLink()
    link.send(message)
    for (let at = 1; at < 6; at++) {
      expect(reply(link, nak)).toEqual(['timer 10000'])
      link.timer()
    }
    expect(reply(link, nak)).toEqual(['EOT', 'timer 0', 'not-ready'])
  })

  test('a frame is repeated six times, then the sender gives up; noise counts as NAK', () => {
    const link = new SenderLink()
    link.send(message)
    reply(link, ack)
    for (let at = 1; at <= 6; at++) expect(reply(link, at % 2 === 0 ? 0x7f : nak)[0]).toBe('frame 1H')
    expect(reply(link, nak)).toEqual(['EOT', 'timer 0', 'refused'])
  })

  test('no answer for 15 s ends the session', () => {
    const link = new SenderLink()
    link.send(message)
    reply(link, ack)
    expect(words(link.timer())).toEqual(['EOT', 'timer 0', 'no-answer'])
  })

  test('EOT for an answer is ACK, and the sender leaves the line free for 15 s afterwards', () => {
    const link = new SenderLink()
    link.send(message)
    reply(link, ack)
    for (let at = 1; at <= 5; at++) expect(reply(link, eot)[0]).toMatch(/^frame/)
    expect(reply(link, eot)).toContain('sent')
    expect(words(link.send(message))).toEqual(['timer 15000'])
  })

  test('a long record goes over several frames', () => {
    const long = Buffer.from(`H|\\^&|${'x'.repeat(500)}\rL|1\r`)
    const tokens = new FrameReader(240).push(Buffer.concat(framesOf(long)))
    const frames = tokens.map((token) => (token.kind === 'frame' ? token.frame : undefined))
    expect(frames.map((one) => [one?.number, one?.text.length, one?.last])).toEqual([
      [1, 240, false],
      [2, 240, false],
      [3, 27, true],
      [4, 4, true],
    ])
  })
})

describe('a line that loses and garbles', () => {
  test.each(Array.from({ length: 150 }, (_, at) => at + 1))('seed %i: what was acknowledged is stored', (seed) => {
    const outcome = noisyLine(seed)
    expect(outcome.missing).toEqual([])
    expect(outcome.foreign).toEqual([])
    expect(outcome.sent).toBe(outcome.messages)
  })
})

/** xorshift32 */
function generator(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state / 2 ** 32
  }
}

/** Both ends over a line in virtual time: bytes lost, garbled, repeated; storing slow or refused; until all is sent. */
function noisyLine(seed: number) {
  const random = generator(seed)
  const chance = (share: number): boolean => random() < share
  const whole = (max: number): number => Math.floor(random() * max)
  let now = 0
  let serial = 0
  const due: { at: number; serial: number; run: () => void }[] = []
  const after = (ms: number, work: () => void): void => {
    due.push({ at: now + ms, serial: serial++, run: work })
    due.sort((a, b) => a.at - b.at || a.serial - b.serial)
  }
  const receiver = new ReceiverLink(settings)
  const sender = new SenderLink('instrument', standardTimes)
  const stored = new Set<string>()
  const kept: string[] = []
  const told = new Set<string>()
  const messages = Array.from({ length: 12 }, (_, at) => results(`M${seed}-${at}`, { comment: 'x'.repeat(whole(600)) }))
  let current = 0
  let live = 0.03 + random() * 0.05

  const versions = new Map<string, number>()
  const timer = (name: string, ms: number, work: () => void): void => {
    const version = (versions.get(name) ?? 0) + 1
    versions.set(name, version)
    if (ms > 0) after(ms, () => versions.get(name) === version && work())
  }

  // One byte changed or lost in a frame is what its checksum finds; noise that forges ENQ gets an ACK which passes for that
  // of a frame, and LIS1-A has no means against it.
  const toReceiver = (bytes: Buffer): void => {
    let wire: Buffer = Buffer.from(bytes)
    const at = whole(wire.length)
    if (chance(live)) {
      const byte = whole(256)
      wire[at] = byte === enq || byte === stx ? 0x7f : byte
    } else if (chance(live)) wire = Buffer.concat([wire.subarray(0, at), wire.subarray(at + 1)])
    if (chance(live)) wire = Buffer.concat([Buffer.of(0x7f, etx, 0x1b), wire])
    if (chance(live / 3)) return
    for (let at = 0; at < wire.length;) {
      const length = 1 + whole(40)
      const part = wire.subarray(at, at + length)
      after(1 + at, () => receive(receiver.bytes(part)))
      at += length
    }
  }
  const toSender = (byte: number): void => {
    if (chance(live)) return
    after(1, () => send(sender.bytes(Buffer.of(chance(live) ? 0x7f : byte))))
  }
  const receive = (actions: readonly LinkAction[]): void => {
    for (const action of actions) {
      if (action.do === 'write') toSender(action.byte)
      else if (action.do === 'timer') timer(action.name, action.ms, () => receive(receiver.timer(action.name)))
      else if (action.do === 'keep') kept.push(action.remainder.toString())
      else if (action.do === 'offer') {
        const ok = !chance(0.1)
        const slow = chance(0.1) ? 12_000 : 5
        after(slow, () => {
          if (ok) for (const message of action.messages) stored.add(message.toString())
          receive(receiver.settled(ok))
        })
      }
    }
  }
  const send = (actions: readonly SenderAction[]): void => {
    for (const action of actions) {
      if (action.do === 'write') toReceiver(action.bytes)
      else if (action.do === 'timer') timer('sender', action.ms, () => send(sender.timer()))
      else {
        if (action.do === 'sent') told.add(messages[current++]!.toString())
        const next = messages[current]
        if (next !== undefined) timer('next', 1000 + whole(40_000), () => send(sender.send(next)))
      }
    }
  }
  send(sender.send(messages[0]!))
  for (let step = 0; due.length > 0 && current < messages.length; step++) {
    if (step > 30_000) live = 0
    if (step > 60_000) break
    const { at, run: work } = due.shift()!
    now = at
    work()
  }
  const all = messages.map(String)
  return {
    messages: messages.length,
    sent: told.size,
    missing: [...told].filter((message) => !stored.has(message)),
    // What is stored is a message; what is kept of one is its beginning.
    foreign: [
      ...[...stored].filter((message) => !all.some((one) => one.startsWith(message))),
      ...kept.filter((left) => !all.some((one) => one.startsWith(left))),
    ],
  }
}
