import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { recordCommand } from '../../cli/record.js'
import { record } from '../../cli/record/record.js'
import { inputsOf } from '../../cli/record/sources.js'
import { testCommand } from '../../cli/test.js'
import { Deidentifier } from '../../connectors/hl7v2/deidentify/deidentify.js'
import { encode } from '../../connectors/hl7v2/encode.js'
import { systemClock } from '../../core/clock.js'
import { aes256GcmCipher } from '../../core/crypto.js'
import { openSpool } from '../../log/spool-store.js'
import type { Terminal } from '../../cli/terminal.js'

vi.setConfig({ testTimeout: 120_000 })

const key = Buffer.from('a key for tests, of no other use')
let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hutong-record-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const names = ['欧阳明珠', '王珅', '李小玕']

/** A blood count of one of three patients whose name stands in its note too. */
const message = (at: number): Buffer => {
  const name = names[at % names.length]!
  const text = [
    `MSH|^~\\&|LIS|H1|HUTONG||2024050609301${at}||ORU^R01|C2024050600${at}|P|2.4`,
    `PID|1||000123456${at % names.length}^^^HIS^MR||${name}||198503${10 + at}|F|||浙江省杭州市文一西路121${at}号3幢||1381234567${at}`,
    `OBR|1|P2024050600${at}|L2024050600${at}|XCG^血常规^LIS|||20240506083000|||||||||||||||||||F`,
    `OBX|1|NM|WBC^白细胞计数^LIS||6.2${at}|10\\S\\9/L|3.5-9.5|N|||F`,
    `NTE|1||${name} 复查 白细胞,电话1381234567${at}`,
  ].join('\r')
  return encode(`${text}\r`, 'gb18030')
}

interface Ran {
  readonly exitCode: number
  readonly out: string
  readonly err: string
}

async function hutong(args: readonly string[], language: 'en' | 'zh' = 'en'): Promise<Ran> {
  let [out, err] = ['', '']
  const terminal: Terminal = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    interactive: false,
    environment: { language, ci: false, variables: {} },
  }
  const program = new Command('hutong').exitOverride()
  for (const command of [recordCommand, testCommand]) command(program, terminal)
  const before = process.exitCode
  try {
    process.exitCode = 0
    await program.parseAsync([...args], { from: 'user' })
    return { exitCode: Number(process.exitCode), out, err }
  } finally {
    process.exitCode = before
  }
}

async function everythingIn(folder: string): Promise<Buffer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .sort((a, b) => (a.parentPath + a.name < b.parentPath + b.name ? -1 : 1))
  return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))))
}

/** Names and numbers of the messages above, in both charsets they may be written in. */
function expectNobody(content: Buffer): void {
  for (const value of [...names, '文一西路', '0001234560', '0001234561', '13812345670', 'L20240506000']) {
    for (const charset of ['utf-8', 'gb18030']) expect(content.includes(encode(value, charset)), value).toBe(false)
  }
}

describe('hutong record', () => {
  test('makes cases of files that hutong test runs, the same ones for the same key', async () => {
    await mkdir(join(dir, 'messages'))
    await writeFile(join(dir, 'messages', 'a.hl7'), Buffer.concat([message(0), message(1)]))
    await writeFile(join(dir, 'messages', 'b.hl7'), message(2))
    const run = (out: string, language: 'en' | 'zh' = 'en') =>
      hutong(
        [
          'record',
          join(dir, 'messages'),
          '--out',
          join(dir, out),
          '--key-file',
          join(dir, 'a.key'),
          '--charset',
          'GBK',
        ],
        language,
      )
    const first = await run('cases')
    expect(first).toMatchObject({ exitCode: 0, out: expect.stringContaining('3 cases written') as string })
    expect(first.err).toContain('Made the key')
    expect((await readdir(join(dir, 'cases'))).sort()).toEqual([
      '0001-oru-r01',
      '0002-oru-r01',
      '0003-oru-r01',
      'manifest.json',
    ])
    expectNobody(await everythingIn(join(dir, 'cases')))

    const tested = await hutong(['test', join(dir, 'cases')])
    expect(tested).toMatchObject({ exitCode: 0, out: expect.stringContaining('3 passed, 0 failed') as string })

    const again = await run('again', 'zh')
    expect(again).toMatchObject({ exitCode: 0, out: expect.stringContaining('已写入 3 个案例') as string })
    expect(again.err).not.toContain('密钥')
    expect(await everythingIn(join(dir, 'again'))).toEqual(await everythingIn(join(dir, 'cases')))
    await expect(run('again', 'zh')).rejects.toThrow('不是空文件夹')
  })

  test('the key does not stand among the cases, and one source is named', async () => {
    await writeFile(join(dir, 'a.hl7'), message(0))
    const out = join(dir, 'cases')
    await expect(
      hutong(['record', join(dir, 'a.hl7'), '--out', out, '--key-file', join(out, 'a.key')]),
    ).rejects.toThrow('must not stand in the folder')
    await expect(hutong(['record', '--out', out, '--key-file', join(dir, 'a.key')])).rejects.toThrow('say where from')
    expect(existsSync(out)).toBe(false)
  })

  test('takes the newest messages of an encrypted spool that its receiver holds, which goes on', async () => {
    const secret = Buffer.alloc(32, 7)
    const dataDir = join(dir, 'data')
    const spool = await openSpool({
      dir: join(dataDir, 'spool'),
      environment: 'production',
      clock: systemClock,
      retention: { maxAgeMs: 86_400_000, maxBytes: 1024 * 1024 * 1024 },
      diskReserveBytes: 0,
      payloadCipher: aes256GcmCipher('k1', secret),
    })
    try {
      for (let at = 0; at < 5; at++) {
        await spool.accept({ feed: 'lis', content: message(at), receivedAt: Date.parse('2024-05-06T09:31:00+08:00') })
      }
      const configuration = (value: Buffer) =>
        [
          'environment: production',
          `dataDir: ${JSON.stringify(join(dir, 'elsewhere'))}`,
          'encryption: { keyId: k1, keys: { k1: ' + value.toString('base64') + ' } }',
          'kafka: { brokers: ["127.0.0.1:9"] }',
          'schemaRegistry: { url: "http://127.0.0.1:9" }',
          'database: { url: "postgres://127.0.0.1:9/none" }',
          'feeds:',
          "  - { name: lis, connector: hl7v2-mllp, hospital: '320100001', port: 1, charset: GBK }",
        ].join('\n')
      await writeFile(join(dir, 'right.yaml'), configuration(secret))
      await writeFile(join(dir, 'wrong.yaml'), configuration(Buffer.alloc(32, 8)))
      const run = (config: string, out: string, ...more: string[]) =>
        hutong([
          ...['record', '--spool', dataDir, '--config', join(dir, config), '--out', join(dir, out)],
          ...['--key-file', join(dir, 'a.key'), '--json', ...more],
        ])

      const right = await run('right.yaml', 'cases', '--last', '3')
      expect(JSON.parse(right.out)).toEqual({ recorded: 3, leftOut: {}, leaks: [] })
      const content = await everythingIn(join(dir, 'cases'))
      expectNobody(content)
      expect(content.toString('utf8')).toContain('charset: GBK')
      expect(content.includes('6.24')).toBe(true)
      expect(content.includes('6.21')).toBe(false)
      expect((await hutong(['test', join(dir, 'cases')])).exitCode).toBe(0)

      const wrong = await run('wrong.yaml', 'none')
      expect(wrong.exitCode).toBe(1)
      expect(JSON.parse(wrong.out)).toEqual({ recorded: 0, leftOut: { 'decrypt-failed': 5 }, leaks: [] })
      expect(existsSync(join(dir, 'none'))).toBe(false)
      await expect(run('right.yaml', 'none', '--feed', 'his')).rejects.toThrow('has no feed his')

      await spool.accept({ feed: 'lis', content: message(5), receivedAt: Date.now() })
      for await (const fault of spool.verify()) throw new Error(`${fault.problem} ${fault.position.seq}`)
    } finally {
      await spool.close()
    }
  })

  test('a folder without a spool is said', async () => {
    await expect(
      hutong(['record', '--spool', dir, '--out', join(dir, 'cases'), '--key-file', join(dir, 'a.key')]),
    ).rejects.toThrow('there is no spool')
  })
})

describe('where the replacing fails', () => {
  const inputs = [0, 1, 2].flatMap((at) => inputsOf(message(at)))
  const settings = { charset: 'GBK' }

  /** Replaces everything but what `spoil` puts back into the bytes. */
  const faulty = (spoil: (replaced: Buffer, source: Buffer) => Buffer) => {
    const deidentifier = new Deidentifier({ key })
    return {
      vocabulary: deidentifier.vocabulary,
      learn: (one: Parameters<Deidentifier['learn']>[0]) => deidentifier.learn(one),
      shiftDays: (one: Parameters<Deidentifier['shiftDays']>[0]) => deidentifier.shiftDays(one),
      replace: (...args: Parameters<Deidentifier['replace']>) =>
        spoil(deidentifier.replace(...args), Buffer.from(args[1])),
    }
  }
  const line = (bytes: Buffer, name: string): string =>
    bytes
      .toString('latin1')
      .split('\r')
      .find((one) => one.startsWith(name))!
  const backAgain = (name: string) => (replaced: Buffer, source: Buffer) =>
    Buffer.from(replaced.toString('latin1').replace(line(replaced, name), line(source, name)), 'latin1')

  test.each([
    ['a line', backAgain('NTE|'), 'NTE-3'],
    ['the patient', backAgain('PID|'), 'PID-5'],
    ['an order number', backAgain('OBR|'), 'OBR-3'],
    [
      'a name in UTF-8 within GBK',
      (replaced: Buffer) =>
        Buffer.from(
          replaced
            .toString('latin1')
            .replace(/NTE\|1\|\|[^\r]{12}/, () => `NTE|1||${Buffer.from('欧阳明珠').toString('latin1')}`),
          'latin1',
        ),
      'utf-8',
    ],
  ])('%s left as it was: all is deleted, and the place is named', async (_, spoil, place) => {
    const result = await record(inputs, faulty(spoil), { out: join(dir, 'cases'), settings })
    expect(result.recorded).toBe(0)
    expect(result.leaks.map(({ field }) => field)).toContain(place)
    expect(JSON.stringify(result)).not.toMatch(/欧阳|王珅|1381234|000123456/)
    expect(await readdir(dir)).toEqual([])
  })

  test('work that ends early leaves nothing behind', async () => {
    let calls = 0
    const breaking = faulty((replaced) => {
      if (++calls === 2) throw new Error('the disk is gone')
      return replaced
    })
    await expect(record(inputs, breaking, { out: join(dir, 'cases'), settings })).rejects.toThrow('the disk is gone')
    expect(await readdir(dir)).toEqual([])
  })

  test('what a killed recording left is removed by the next, and nothing that another is about', async () => {
    const { pid } = spawnSync(process.execPath, ['--version'])
    const names = [pid, process.pid].map((one) => `.unchecked-${hostname()}-${one}-aB3xYz`)
    for (const name of names) await mkdir(join(dir, name, '0001-ORU'), { recursive: true })
    await record(inputs, new Deidentifier({ key }), { out: join(dir, 'cases'), settings })
    expect((await readdir(dir)).sort()).toEqual([names[1], 'cases'])
  })

  test('a setting of the feed that names a patient is found beside the messages', async () => {
    const deidentifier = new Deidentifier({ key })
    const result = await record(inputs, deidentifier, {
      out: join(dir, 'cases'),
      settings: { ...settings, sourceSystem: names[0] },
    })
    expect(result.leaks).toContainEqual({ segment: 'feed.yaml', field: 'feed.yaml', kind: 'name' })
    expect(await readdir(dir)).toEqual([])
  })
})
