import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const project = resolve(import.meta.dirname, '../..')

test('the generated pages are up to date', async () => {
  await promisify(execFile)(process.execPath, [join(project, 'scripts/generate-docs.mjs'), '--check'])
})

test('every link between pages leads somewhere', () => {
  const pages = [
    'README.md',
    ...readdirSync(join(project, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  ]
  const broken = pages.flatMap((page) => {
    const links = [...readFileSync(join(project, page), 'utf8').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
    return links
      .map((link) => join(project, dirname(page), link[1]!))
      .filter((target) => !existsSync(target))
      .map((target) => `${page}: ${target}`)
  })
  expect(broken).toEqual([])
})

test('every source file that a page names is there', () => {
  const pages = ['README.md', ...readdirSync(join(project, 'docs'), { recursive: true, encoding: 'utf8' })]
    .filter((name) => name.endsWith('.md'))
    .map((name) => (name === 'README.md' ? name : join('docs', name)))
  const missing = pages.flatMap((page) =>
    [...readFileSync(join(project, page), 'utf8').matchAll(/`([a-z0-9-]+\/[\w./-]+\.(?:ts|mjs|sql|avsc))`/g)]
      .map((match) => match[1]!)
      .filter((file) => !existsSync(join(project, file)))
      .map((file) => `${page}: ${file}`),
  )
  expect(missing).toEqual([])
})
