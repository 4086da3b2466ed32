import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Command } from 'commander'
import { connectorCommand } from '../../cli/connector.js'
import { readEnvironment } from '../../core/environment.js'

const project = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)
let tree: string

/** A source tree whose files are this one's, with room for a connector of its own. */
beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'hutong-tree-'))
  for (const name of readdirSync(project)) {
    if (
      /^(node_modules|package.*|tsconfig.*|core|schemas|log|catalogue|repository|cli|pipelines|services|api)$/.test(
        name,
      )
    )
      symlinkSync(join(project, name), join(tree, name))
  }
  for (const folder of ['connectors', 'test']) {
    mkdirSync(join(tree, folder))
    for (const name of readdirSync(join(project, folder)))
      symlinkSync(join(project, folder, name), join(tree, folder, name))
  }
})
afterEach(() => rmSync(tree, { recursive: true, force: true }))

async function hutong(...parameters: string[]): Promise<string> {
  let text = ''
  const program = new Command().exitOverride()
  connectorCommand(program, {
    out: (part) => void (text += part),
    err: () => undefined,
    interactive: false,
    environment: readEnvironment({}),
  })
  await program.parseAsync(['node', 'hutong', 'connector', ...parameters])
  return text
}

describe('hutong connector new', { timeout: 240_000 }, () => {
  test('writes a connector that compiles, passes the contract and is styled as the rest', async () => {
    const said = await hutong('new', 'acme-lis', '--dir', tree)
    expect(said).toContain("import { acmeLis } from '../connectors/acme-lis/acme-lis.js'")
    for (const file of said.split('\n').slice(0, 6)) expect(existsSync(join(tree, file)), file).toBe(true)
    const tool = (name: string): string => join(project, 'node_modules', name)
    const compilerOptions = { noEmit: true, rootDir: '/', preserveSymlinks: true }
    const include = ['connectors/acme-lis/*.ts', 'test/acme-lis/*.ts']
    writeFileSync(
      join(tree, 'tsconfig.new.json'),
      JSON.stringify({ extends: './tsconfig.json', compilerOptions, include }),
    )
    await run(process.execPath, [tool('typescript/bin/tsc'), '-p', 'tsconfig.new.json'], { cwd: tree })
    const vitest = await run(
      process.execPath,
      [tool('vitest/vitest.mjs'), 'run', 'test/acme-lis', '--root', tree, '--reporter', 'json'],
      { cwd: tree, env: { ...process.env, NO_COLOR: '1' } },
    )
    const result = JSON.parse(vitest.stdout) as { success: boolean; numPassedTests: number }
    expect(result.success).toBe(true)
    expect(result.numPassedTests).toBeGreaterThanOrEqual(12)
    const style = join(project, '.prettierrc.json')
    await run(
      process.execPath,
      [
        tool('prettier/bin/prettier.cjs'),
        '--check',
        '--config',
        style,
        'connectors/acme-lis/*.ts',
        'test/acme-lis/*.ts',
      ],
      { cwd: tree },
    )
  })

  test('overwrites nothing, and says what a name and a tree must be', async () => {
    await expect(hutong('new', 'hl7v2-mllp', '--dir', tree)).rejects.toThrow('is there already')
    await expect(hutong('new', 'Acme_LIS', '--dir', tree)).rejects.toThrow('small letters, digits and hyphens')
    await expect(hutong('new', 'acme', '--dir', join(tree, 'test'))).rejects.toThrow('no source tree')
    expect(await hutong('list')).toContain('hl7v2-files\n')
  })
})
