import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { parse as parseYaml } from 'yaml'
import { loadCatalogue, type Catalogue } from '../catalogue/catalogue.js'
import { cutFile, type FileFormat } from '../connectors/files/format.js'
import { UsageError } from '../core/errors.js'
import { nearest } from '../core/nearest.js'
import { dryRun, type DryRun } from '../pipelines/dry-run.js'
import { connectors } from './connectors.js'
import { exitCodes, type Terminal } from './terminal.js'

/** Catalogues by their mapping files, each loaded once however many cases use it. */
export type Catalogues = (mappingFiles: readonly string[]) => Catalogue

export function cataloguesOnce(): Catalogues {
  const loaded = new Map<string, Catalogue>()
  return (mappingFiles) => {
    const key = JSON.stringify(mappingFiles)
    const catalogue = loaded.get(key) ?? loadCatalogue({ mappingFiles, setting: 'mappings of feed.yaml' })
    loaded.set(key, catalogue)
    return catalogue
  }
}

export function testCommand(program: Command, terminal: Terminal): void {
  program
    .command('test [dir]')
    .description('run the golden cases of a folder: input.… through parse and normalise against expected.json')
    .option('--update', 'write what came out into expected.json of every case')
    .option('--json', 'one JSON object per case: {"case","passed","differences":[…]}')
    .addHelpText(
      'after',
      `
A case is a folder with
  input.hl7      one or more messages, any charset the feed allows; of another connector input.csv, input.xml …
  expected.json  {"events":[{"domain":"lab-report", …}], "deadLetters":[{"code", …}], "ignored":["reason"]}
                 only the keys you write are compared; a key no event has fails the case
  feed.yaml      optional, here or in a folder above: settings of the connector, hospital, mappings: [file, …]
Exit code: 0 all cases pass, 1 some fail, 2 no case found.`,
    )
    .action(async (dir: string | undefined, options: { update?: boolean; json?: boolean }) => {
      const root = resolve(dir ?? '.')
      let passed = 0
      let failed = 0
      const catalogues = cataloguesOnce()
      for await (const folder of casesUnder(root)) {
        const differences = await runCase(folder, root, options.update === true, catalogues)
        if (differences.length === 0) passed++
        else failed++
        const name = relative(root, folder) || '.'
        if (options.json === true)
          terminal.out(`${JSON.stringify({ case: name, passed: differences.length === 0, differences })}\n`)
        else
          terminal.out(
            `${differences.length === 0 ? 'ok    ' : 'FAILED'} ${name}\n${differences.map((d) => `       ${d}\n`).join('')}`,
          )
      }
      if (passed + failed === 0)
        throw new UsageError(
          `no case under ${root}: a case is a folder with input.hl7 (or input.csv, input.xml … and a feed.yaml that names the connector)`,
        )
      if (options.json !== true) terminal.out(`${passed} passed, ${failed} failed\n`)
      process.exitCode = failed === 0 ? exitCodes.ok : exitCodes.found
    })
}

async function* casesUnder(dir: string): AsyncGenerator<string> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    throw new UsageError(`cannot read ${dir}: ${(error as Error).message}`)
  })
  if (entries.some((entry) => isInput(entry.name))) yield dir
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
      yield* casesUnder(join(dir, entry.name))
  }
}

const isInput = (name: string): boolean => name.startsWith('input.')

/** Writes what comes out of a case into its expected.json. */
export async function writeExpected(folder: string, root: string, catalogues: Catalogues): Promise<void> {
  await runCase(folder, root, true, catalogues)
}

/** The differences of one case, in words; none when it passes. */
async function runCase(
  folder: string,
  root: string,
  update: boolean,
  catalogues: Catalogues,
): Promise<readonly string[]> {
  const feed = await feedOf(folder, root, catalogues)
  const [input = '', ...others] = (await readdir(folder)).filter(isInput)
  if (others.length > 0) return [`more than one input: ${[input, ...others].join(', ')}`]
  const messages = cutFile(feed.files, await readFile(join(folder, input)))
  const runs = messages.map(({ content, index }) => dryRun(content, { ...feed, seq: index }))
  const actual = {
    events: runs.flatMap((run) => run.events.map(({ domain, event }) => ({ domain, ...event }))),
    deadLetters: runs.flatMap((run) =>
      run.deadLetters.map(({ code, message, place }) => ({
        code,
        message,
        segment: place.segment ?? null,
        field: place.field ?? null,
      })),
    ),
    ignored: runs.map((run: DryRun) => run.ignored).filter((reason) => reason !== null),
  }
  const expectedFile = join(folder, 'expected.json')
  if (update) {
    await writeFile(expectedFile, `${JSON.stringify(actual, null, 2)}\n`)
    return []
  }
  const text = await readFile(expectedFile, 'utf8').catch(() => undefined)
  if (text === undefined) return ['expected.json is missing: write it, or run with --update and review it']
  let expected: unknown
  try {
    expected = JSON.parse(text)
  } catch (error) {
    return [`expected.json is not JSON: ${(error as Error).message}`]
  }
  return differences(expected, JSON.parse(JSON.stringify(actual)), '')
}

type CaseFeed = Omit<Parameters<typeof dryRun>[1], 'seq'> & { readonly files: FileFormat }

async function feedOf(folder: string, root: string, catalogues: Catalogues): Promise<CaseFeed> {
  for (let dir = folder; ; dir = dirname(dir)) {
    const file = join(dir, 'feed.yaml')
    if (await stat(file).catch(() => undefined))
      return feedFrom(parseYaml(await readFile(file, 'utf8')), file, catalogues)
    if (dir === root || dir === dirname(dir)) return feedFrom({}, root, catalogues)
  }
}

function feedFrom(source: unknown, file: string, catalogues: Catalogues): CaseFeed {
  const { name, hospital, connector, mappings, receivedAt, environment, ...settings } = (source ?? {}) as Record<
    string,
    unknown
  >
  const kind = connectors.get(String(connector ?? 'hl7v2-files'))
  if (kind === undefined)
    throw new UsageError(`${file}: unknown connector ${String(connector)}; known: ${[...connectors.keys()].join(', ')}`)
  const known = Object.keys((kind.config as unknown as { properties: object }).properties)
  for (const key of Object.keys(settings)) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    throw new UsageError(`${file}: unknown setting ${key}${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
  const at = typeof receivedAt === 'string' ? Date.parse(receivedAt) : Date.parse('2026-01-01T00:00:00Z')
  if (Number.isNaN(at)) throw new UsageError(`${file}: receivedAt must be a time such as 2026-01-01T08:00:00+08:00`)
  return {
    files: kind.files,
    parser: kind.parser({ folder: '.', ...settings } as never),
    catalogue: catalogues(((mappings ?? []) as string[]).map((mapping) => resolve(dirname(file), mapping))),
    feed: String(name ?? 'test-feed'),
    hospital: String(hospital ?? 'TEST'),
    environment: String(environment ?? 'test'),
    receivedAt: at,
  }
}

/** Where `actual` is not what `expected` says; keys that `expected` leaves out are not compared, unknown ones are told. */
export function differences(expected: unknown, actual: unknown, path: string): string[] {
  const at = path === '' ? 'expected.json' : path
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return [`${at}: expected a list, got ${JSON.stringify(actual)}`]
    const counts =
      expected.length === actual.length ? [] : [`${at}: expected ${expected.length} entries, got ${actual.length}`]
    return [
      ...counts,
      ...expected
        .slice(0, actual.length)
        .flatMap((entry, index) => differences(entry, actual[index], `${path}[${index}]`)),
    ]
  }
  if (typeof expected === 'object' && expected !== null) {
    if (typeof actual !== 'object' || actual === null || Array.isArray(actual))
      return [`${at}: expected a mapping, got ${JSON.stringify(actual)}`]
    return Object.entries(expected).flatMap(([key, value]) => {
      const inner = path === '' ? key : `${path}.${key}`
      if (key in actual) return differences(value, (actual as Record<string, unknown>)[key], inner)
      const near = nearest(key, Object.keys(actual))
      return [
        `${inner}: unknown key${near === undefined ? `; known: ${Object.keys(actual).join(', ')}` : `; did you mean ${near}?`}`,
      ]
    })
  }
  return Object.is(expected, actual)
    ? []
    : [`${at}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`]
}
