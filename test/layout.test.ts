import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test, vi } from 'vitest'

vi.setConfig({ testTimeout: 120_000 }) // seconds alone, many of them beside a busy stack

interface Cruise {
  readonly modules: readonly { readonly source: string }[]
  readonly summary: { readonly violations: readonly { from: string; to: string; rule: { name: string } }[] }
}

const project = fileURLToPath(new URL('..', import.meta.url))
const { scripts } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { scripts: { layout: string } }
// the very command of `npm run layout`: a folder or a rule file left out there is left out here
const [command, ...layoutArguments] = scripts.layout.split(' ')
const folders = layoutArguments.slice(layoutArguments.indexOf('.dependency-cruiser.cjs') + 1)
const order = ['core', 'schemas', 'log', 'catalogue', 'repository', 'connectors', 'pipelines', 'services', 'api', 'cli']

function cruise(directory: string): Promise<Cruise> {
  const program = join(project, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs')
  return new Promise((resolve, reject) => {
    const options = { cwd: directory, maxBuffer: 64 << 20, timeout: 110_000 }
    execFile(process.execPath, [program, ...layoutArguments, '--output-type', 'json'], options, (error, stdout) => {
      // a violation is in the output; no output is a failure of the tool
      if (stdout === '') reject(error ?? new Error('no output'))
      else resolve(JSON.parse(stdout) as Cruise)
    })
  })
}

test('each folder imports only from those before it', async () => {
  expect(command).toBe('depcruise')
  expect(folders).toEqual(order)
  const { modules, summary } = await cruise(project)
  const seen = new Set(modules.map(({ source }) => source.split('/')[0]))
  expect(seen).toContain('core')
  expect(seen).toContain('log')
  expect(summary.violations.map(({ from, to, rule }) => `${from} → ${to}: ${rule.name}`)).toEqual([])
})

describe('the rules bite', () => {
  let planted: string | undefined

  afterEach(() => {
    if (planted !== undefined) rmSync(planted, { recursive: true, force: true })
  })

  /** A project of the same layout, one empty module a folder, with `files` over it. */
  function plant(files: Readonly<Record<string, string>>): string {
    planted = mkdtempSync(join(tmpdir(), 'hutong-layout-'))
    for (const file of ['.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) {
      cpSync(join(project, file), join(planted, file))
    }
    symlinkSync(join(project, 'node_modules'), join(planted, 'node_modules'))
    const empty = order.map((folder) => [`${folder}/module.ts`, 'export const present = true\n'])
    for (const [path, text] of Object.entries({ ...Object.fromEntries(empty), ...files }) as [string, string][]) {
      mkdirSync(dirname(join(planted, path)), { recursive: true })
      writeFileSync(join(planted, path), text)
    }
    return planted
  }

  async function rulesBroken(files: Readonly<Record<string, string>>): Promise<string[]> {
    const { summary } = await cruise(plant(files))
    return summary.violations.map(({ rule }) => rule.name)
  }

  test('not on a tree that keeps them', async () => {
    const broken = await rulesBroken({
      'cli/run.ts': `import { present } from '../core/module.js'\nexport const seen = present\n`,
      'pipelines/parse.ts': `import type { Connector } from '../connectors/connector.js'\nexport type P = Connector\n`,
      'connectors/connector.ts': 'export interface Connector {}\n',
      'log/kafka-log.ts': `import { Kafka } from 'kafkajs'\nexport const client = Kafka\n`,
    })
    expect(broken).toEqual([])
  })

  test('on every folder that imports the next one', async () => {
    const files = order.slice(0, -1).map((folder, index) => {
      const next = order[index + 1]
      return [`${folder}/upwards.ts`, `import { present } from '../${next}/module.js'\nexport const seen = present\n`]
    })
    const broken = await rulesBroken(Object.fromEntries(files) as Record<string, string>)
    expect(broken.sort()).toEqual(
      order
        .slice(0, -1)
        .map((folder) => `${folder}-imports-only-what-stands-before-it`)
        .sort(),
    )
  })

  test.each([
    ['core-imports-only-what-stands-before-it', 'core/late.ts', `import type {} from '../pipelines/module.js'\n`],
    ['cli-imports-only-what-stands-before-it', 'cli/tested.ts', `export * from '../test/fixture.js'\n`],
    ['pipelines-are-handed-parsers', 'pipelines/parse.ts', `export * from '../connectors/module.js'\n`],
    [
      'only-one-file-imports-kafkajs',
      'repository/direct.ts',
      `import type { Kafka } from 'kafkajs'\nexport type K = Kafka\n`,
    ],
    ['no-circular', 'core/circle.ts', `export * from './circle-back.js'\n`],
  ])('%s', async (rule, path, text) => {
    const others = {
      'test/fixture.ts': 'export const fixture = true\n',
      'core/circle-back.ts': `export * from './circle.js'\n`,
    }
    const used = rule === 'no-circular' || rule.startsWith('cli') ? others : {}
    expect(new Set(await rulesBroken({ ...used, [path]: text }))).toEqual(new Set([rule]))
  })
})
