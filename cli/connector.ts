import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { connectors } from './connectors.js'
import type { Terminal } from './terminal.js'

const templates = join(dirname(fileURLToPath(import.meta.url)), 'connector-template')
const namePattern = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/

export function connectorCommand(program: Command, terminal: Terminal): void {
  const connector = program.command('connector').description('source protocols and formats')
  connector
    .command('list')
    .description('the connectors of this build')
    .action(() => {
      for (const name of connectors.keys()) terminal.out(`${name}\n`)
    })
  connector
    .command('new <name>')
    .description('write the folder of a new connector into a source tree: it receives, parses, and passes the contract')
    .option('--dir <folder>', 'the source tree', '.')
    .addHelpText(
      'after',
      `
The connector reads files of lines: report number, patient, item, value, unit, divided by tabs. It works as it stands; change
parse.ts to the format you have, and receive in its own way where files are not it.

  hutong connector new acme-lis
  npx vitest run test/acme-lis        its tests: the contract of receivers, and golden events

Exit code: 0 written, 2 the name is taken or the folder is no source tree.`,
    )
    .action(async (name: string, { dir }: { dir: string }) => {
      if (!namePattern.test(name)) {
        throw new UsageError(`${name}: a connector is named in small letters, digits and hyphens, as acme-lis`)
      }
      const root = resolve(dir)
      if (!existsSync(join(root, 'connectors', 'connector.ts'))) {
        throw new UsageError(`${root} is no source tree of Hutong: clone the repository, then name it with --dir`)
      }
      const written = await writeConnector(root, name)
      for (const file of written) terminal.out(`${file}\n`)
      const binding = camelCase(name)
      terminal.out(
        `\nregister it in cli/connectors.ts:\n  import { ${binding} } from '../connectors/${name}/${name}.js'\nand add ${binding} to the list there; then npm run docs\n`,
      )
    })
}

/** Files of the template by their place in the source tree; written whole, nothing overwritten. */
async function writeConnector(root: string, name: string): Promise<readonly string[]> {
  const files = new Map<string, Buffer>()
  for (const template of await readdir(templates)) {
    const place = template
      .replaceAll('+', '/')
      .replaceAll('__name__', name)
      .replace(/\.template$/, '')
    const text = await readFile(join(templates, template), 'utf8')
    files.set(place, Buffer.from(text.replaceAll('__name__', name).replaceAll('__binding__', camelCase(name))))
  }
  for (const place of files.keys()) {
    if (existsSync(join(root, place))) throw new UsageError(`${place} is there already: choose another name`)
  }
  for (const [place, content] of files) {
    await mkdir(dirname(join(root, place)), { recursive: true })
    await writeFile(join(root, place), content, { flag: 'wx' })
  }
  return [...files.keys()].sort()
}

const camelCase = (name: string): string => name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
