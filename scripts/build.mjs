// Compiles the product to dist/ and copies the data files that it reads at run time (schemas, SQL, catalogue).
// Runs before `npm test` and `npm run demo`; incremental, a no-change build takes about a second.
// `--clean` leaves nothing of earlier builds behind.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)
const assetFolders = ['schemas', 'catalogue', 'repository', 'connectors', 'services', 'cli']
const assetEndings = ['.template', '.avsc', '.sql', '.tsv', '.json', '.yaml', '.html', '.mjs']

if (process.argv.includes('--clean')) rmSync(join(root, 'dist'), { recursive: true, force: true })

const compiler = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')
const compiled = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], {
  stdio: 'inherit',
  cwd: root,
})
if (compiled.status !== 0) process.exit(compiled.status ?? 1)

for (const folder of assetFolders) copyAssets(join(root, folder), join(root, 'dist', folder))
copyFonts()
const entry = join(root, 'dist/cli/main.js')
if (existsSync(entry)) chmodSync(entry, 0o755)

function copyAssets(from, to) {
  if (!existsSync(from)) return
  for (const name of readdirSync(from)) {
    const source = join(from, name)
    if (statSync(source).isDirectory()) {
      if (name !== 'example') copyAssets(source, join(to, name)) // which its page in docs/ shows
    } else if (assetEndings.some((ending) => name.endsWith(ending))) {
      mkdirSync(to, { recursive: true })
      cpSync(source, join(to, name))
    }
  }
}

// The fonts that acceptance reports are set in (OFL-1.1): three files of packages that hold many.
function copyFonts() {
  const to = join(root, 'dist/services/acceptance/font')
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  const noto = dirname(require.resolve('@expo-google-fonts/noto-sans-sc/package.json'))
  cpSync(join(noto, 'LICENSE_FONT'), join(to, 'LICENSE-noto-sans-sc'))
  cpSync(join(noto, '400Regular/NotoSansSC_400Regular.ttf'), join(to, 'noto-sans-sc-400.ttf'))
  cpSync(join(noto, '700Bold/NotoSansSC_700Bold.ttf'), join(to, 'noto-sans-sc-700.ttf'))
  const wenkai = dirname(require.resolve('@fontsource/lxgw-wenkai/package.json'))
  cpSync(join(wenkai, 'LICENSE'), join(to, 'LICENSE-lxgw-wenkai'))
  cpSync(join(wenkai, 'files/lxgw-wenkai-latin-500-normal.woff'), join(to, 'lxgw-wenkai-500.woff'))
}
