import { spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { replaceFile } from '../../log/replace-file.js'

test('on a disk that is full the old file stays, and nothing beside it', { timeout: 60_000 }, async ({ skip }) => {
  if (process.platform !== 'linux') skip('needs tmpfs')
  const mount = await mkdtemp(join(tmpdir(), 'hutong-replace-test-'))
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', mount]).status !== 0) {
    skip('may not mount a tmpfs here')
  }
  try {
    const path = join(mount, 'state.json')
    await writeFile(path, 'old')
    await expect(replaceFile(path, '.'.repeat(300_000))).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await readdir(mount)).toEqual(['state.json'])
    expect(await readFile(path, 'utf8')).toBe('old')
    await replaceFile(path, 'new')
    expect(await readFile(path, 'utf8')).toBe('new')
  } finally {
    spawnSync('umount', [mount])
    await rm(mount, { recursive: true, force: true })
  }
})
