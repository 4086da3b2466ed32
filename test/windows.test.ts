import { fileURLToPath } from 'node:url'
import { ESLint } from 'eslint'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const lint = new ESLint({
  cwd: root,
  // The rules of names and values alone: types take a minute and add nothing here.
  overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
  ruleFilter: ({ ruleId }) => ruleId.startsWith('no-restricted-'),
})
const faultsOf = async (text: string, filePath: string): Promise<number> =>
  (await lint.lintText(text, { filePath }))[0]?.messages.length ?? 0

describe('what an edge runs', { timeout: 120_000 }, () => {
  it('uses nothing that Windows lacks, but for places that say why', async () => {
    const results = await lint.lintFiles(['core', 'log', 'connectors', 'pipelines', 'cli'])
    expect(results.length).toBeGreaterThan(100)
    expect(results.flatMap(({ filePath, messages }) => messages.map(({ line }) => `${filePath}:${line}`))).toEqual([])
  })

  it.each([
    'export const user = process.getuid?.()',
    "import { chown } from 'node:fs/promises'\nexport const give = chown",
    "process.on('SIGHUP', () => undefined)",
    "export const folder = '/tmp'",
    'export const file = (name: string) => `/var/lib/${name}`',
  ])('is found: %s', async (text) => {
    expect(await faultsOf(`${text}\n`, 'log/probe.ts')).toBe(1)
    expect(await faultsOf(`${text}\n`, 'repository/probe.ts')).toBe(0)
  })

  it('is not found in what is harmless', async () => {
    expect(
      await faultsOf("export const route = '/v1/raw'\nprocess.on('SIGTERM', () => undefined)\n", 'log/probe.ts'),
    ).toBe(0)
  })
})
