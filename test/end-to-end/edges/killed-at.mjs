// Loaded before a supervisor (NODE_OPTIONS=--import=…): SIGKILL at the writes that TEST_KILL_AT names, each once. A place is
// `before` or `after`, what the write comes to (trial, keeping, returning, rolled-back, kept, returned, unpacked, current),
// and the version it is of. The file killed-at.log in the working folder notes each before it happens.
import { appendFileSync, readFileSync } from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, dirname } from 'node:path'

const note = 'killed-at.log'
const wanted = new Set(JSON.parse(process.env.TEST_KILL_AT ?? '[]'))

const jsonOf = (path) => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}
const happened = () => {
  try {
    return readFileSync(note, 'utf8').split('\n')
  } catch {
    return []
  }
}
const endings = { trial: 'rolled-back', keeping: 'kept', returning: 'returned' }

function placeOf(from, to) {
  if (basename(to) === 'current.json') return `current ${jsonOf(from)?.version}`
  if (basename(dirname(to)) === 'versions') return `unpacked ${basename(to)}`
  if (basename(to) !== 'state.json') return undefined
  const [before, next] = [jsonOf(to)?.change, jsonOf(from)?.change]
  if (next) return next.phase === 'trial' && next.starts > 0 ? undefined : `${next.phase} ${next.release.version}`
  return before ? `${endings[before.phase]} ${before.release.version}` : undefined
}

function dieAt(place) {
  if (!wanted.has(place) || happened().includes(place)) return
  appendFileSync(note, `${place}\n`)
  process.kill(process.pid, 'SIGKILL')
}

if (process.argv[2] === 'supervise' && !process.argv.includes('--check')) {
  const { rename } = promises
  promises.rename = async (from, to) => {
    const place = placeOf(String(from), String(to))
    if (place !== undefined) dieAt(`before ${place}`)
    await rename(from, to)
    if (place !== undefined) dieAt(`after ${place}`)
  }
  syncBuiltinESMExports()
}
