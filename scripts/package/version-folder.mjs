// versions/<version> of a package: the compiled product, the packages it needs at an edge, and RELEASE.json over all.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { filesUnder, releaseFile, sha256OfFile, signatureFile } from '../../dist/cli/installation/release.js'
import { signBytes } from '../../dist/core/signing.js'
import { spoolFormat } from '../../dist/log/spool-frame.js'

/** Not needed where messages are only received and forwarded (docs/decisions/0150), nor what only these need. */
const leftOut = new Set(['@electric-sql/pglite', 'pdfkit', 'fontkit', '@types/node', 'undici-types'])
/** Of the product itself: fonts of 31 MB, for acceptance reports are written in the province. */
const fontFolder = join('services', 'acceptance', 'font')
/** What explains and types a package, and what it was compiled from, is not loaded by it. */
const notLoaded = /(\.d\.[cm]?ts|\.ts|\.mts|\.cts|\.map|\.md|\.markdown|\.tsbuildinfo)$/i
const license = /^(licen[cs]e|copying|notice)/i

/** Fills `folder` from the source tree at `root`. */
export async function writeVersionFolder({ root, folder, version, signingKey }) {
  const source = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  copyLoaded(join(root, 'dist'), join(folder, 'dist'), { without: join(root, 'dist', fontFolder) })
  for (const path of productionPackages(root)) copyLoaded(join(root, path), join(folder, path), { ownOnly: true })
  const { name, description, license: licence, type, engines, dependencies } = source
  writeJson(join(folder, 'package.json'), { name, version, description, license: licence, type, engines, dependencies })
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  for (const path of ['guide', 'configuration.md', 'errors.md', 'mappings.md', 'messages.md'])
    cpSync(join(root, 'docs', path), join(folder, 'docs', path), { recursive: true })

  const files = {}
  for (const path of await filesUnder(folder)) files[path] = await sha256OfFile(join(folder, ...path.split('/')))
  writeJson(join(folder, releaseFile), { version, spoolFormat, files })
  if (signingKey !== undefined)
    writeJson(join(folder, signatureFile), signBytes(readFileSync(join(folder, releaseFile)), signingKey))
}

const writeJson = (file, value) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(value, null, 1)}\n`)
}

/** Folders of the packages that package-lock.json names for production. Fails where the tree holds another version. */
function productionPackages(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set()
  const waiting = ['']
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    for (const name of Object.keys(packages[path].dependencies ?? {})) {
      const needed = leftOut.has(name) ? undefined : placeOf(name, path, packages)
      if (needed === undefined || found.has(needed)) continue
      found.add(needed)
      waiting.push(needed)
    }
  }
  for (const path of found) {
    const { version } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'))
    const { version: locked } = packages[path]
    if (version !== locked) throw new Error(`${path} is ${version}, package-lock.json says ${locked}: run npm ci`)
  }
  return [...found].sort()
}

/** Where Node finds a package from the folder of another: beside it, or beside one of those around it. */
function placeOf(name, from, packages) {
  for (let around = from; ; around = around.slice(0, Math.max(0, around.lastIndexOf('node_modules/') - 1))) {
    const path = `${around === '' ? '' : `${around}/`}node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (around === '') throw new Error(`package-lock.json has no ${name}, which ${from} needs`)
  }
}

function copyLoaded(from, to, options) {
  const { ownOnly = false, without } = options
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    if (entry.isDirectory()) {
      // Packages inside a package are named by the lock file themselves.
      if (source !== without && !(ownOnly && entry.name === 'node_modules'))
        copyLoaded(source, join(to, entry.name), options)
      continue
    }
    if (/\.node$/i.test(entry.name)) throw new Error(`${source} is native: it would need a package for each platform`)
    if (!entry.isFile() || (notLoaded.test(entry.name) && !license.test(entry.name))) continue
    mkdirSync(to, { recursive: true })
    cpSync(source, join(to, entry.name))
  }
}
