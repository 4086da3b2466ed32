#!/usr/bin/env node
// Starts and stops the real stack without Docker. State, data and logs live under one directory.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kafka } from './stack/kafka.mjs'
import { postgres } from './stack/postgres.mjs'
import { choosePort, isFree } from './stack/ports.mjs'
import { end, isRunning, launch, residentMiB } from './stack/processes.mjs'
import { registry } from './stack/registry.mjs'
import { resolveRuntime } from './stack/runtime.mjs'
import { readState, withLock, writeState } from './stack/state.mjs'

const PARTS = [kafka, registry, postgres]
const START_TIMEOUT_MS = 120_000
const STOP_TIMEOUT_MS = 30_000
const USAGE = `node scripts/stack.mjs <command> [--dir DIR] [--only kafka,registry,postgres]

  start [--fresh]   start what is not running, wait until it answers, print its addresses; --fresh wipes the data
  stop              stop what was started
  status [--json]   each part with its address, pid and resident memory; exit code 1 if a part is down
  env               the addresses as export lines
  restart-broker    stop Kafka cleanly and start it again on the same port and data
  kill-broker       SIGKILL Kafka
  start-broker      start Kafka again on the same port and data
  resolve           fetch what start needs, so that start works offline

  --dir             where state, data and logs live (default: .stack/default in the project)
`

const report = (line) => process.stderr.write(`stack: ${line}\n`)
const print = (line) => process.stdout.write(`${line}\n`)

const commands = {
  start: (options) => withLock(options.dir, () => start(options)),
  stop: (options) => withLock(options.dir, () => stop(options)),
  status,
  env: printVariables,
  'restart-broker': (options) => withLock(options.dir, () => restartBroker(options, 'SIGTERM', true)),
  'kill-broker': (options) => withLock(options.dir, () => restartBroker(options, 'SIGKILL', false)),
  'start-broker': (options) => withLock(options.dir, () => startBroker(options)),
  resolve: () => void resolveRuntime(report),
}

async function start({ dir, only, fresh }) {
  if (fresh) await wipe(dir, only)
  const state = readState(dir)
  const missing = only.filter((part) => !isRunning(state.parts[part.name]?.process))
  if (missing.length === 0) report('already running')
  const taken = new Set(PARTS.flatMap((part) => Object.values(state.parts[part.name]?.ports ?? {})))
  for (const part of missing) {
    const previous = state.parts[part.name]?.ports ?? {}
    const ports = {}
    for (const name of part.ports) {
      taken.delete(previous[name])
      ports[name] = await choosePort(previous[name], taken)
      taken.add(ports[name])
    }
    state.parts[part.name] = { ports }
  }
  // a part that fails must not leave the others half-started and unrecorded
  const outcomes = await Promise.allSettled(missing.map((part) => startPart(dir, state, part)))
  const failed = outcomes.filter((outcome) => outcome.status === 'rejected')
  if (failed.length > 0) throw new Error(failed.map((outcome) => outcome.reason.message).join('\n'))
  printVariables({ dir })
}

async function startPart(dir, state, part) {
  const startedAt = Date.now()
  const entry = state.parts[part.name]
  const log = join(dir, 'logs', `${part.name}.log`)
  mkdirSync(join(dir, 'logs'), { recursive: true })
  const context = { dir: join(dir, part.name), ports: entry.ports, report }
  let command
  try {
    command = part.prepare(context)
    entry.process = await launch({ ...command, log })
  } catch (error) {
    throw new Error(`${part.title} can't be started: ${error.message}`)
  }
  writeState(dir, state)
  report(`${part.title}: starting as ${entry.process.pid}`)
  while (!(await part.answers(context))) {
    const isLate = Date.now() - startedAt > START_TIMEOUT_MS
    if (isLate || !isRunning(entry.process)) {
      await end(entry.process, 'SIGKILL', 10_000)
      const why = isLate ? `did not answer within ${START_TIMEOUT_MS / 1000} s` : 'ended while starting'
      throw new Error(`${part.title} ${why}; the end of ${log}:\n${tail(log)}`)
    }
    await sleep(100)
  }
  // another program's answer on the same port is no answer
  if (!isRunning(entry.process)) throw new Error(`${part.title} ended while starting; the end of ${log}:\n${tail(log)}`)
  report(`${part.title}: answers after ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
}

async function stop({ dir, only }) {
  const state = readState(dir)
  const known = only.filter((part) => state.parts[part.name]?.process !== undefined)
  if (known.length === 0) report('nothing was started')
  await Promise.all(
    known.map(async (part) => {
      const outcome = await end(state.parts[part.name].process, part.stopSignal, STOP_TIMEOUT_MS)
      delete state.parts[part.name].process
      report(`${part.title}: ${outcome}`)
    }),
  )
  // the ports stay: the next start takes them again if they are free
  if (existsSync(dir)) writeState(dir, state)
}

async function wipe(dir, only) {
  await stop({ dir, only })
  for (const part of only) {
    rmSync(join(dir, part.name), { recursive: true, force: true })
    rmSync(join(dir, 'logs', `${part.name}.log`), { force: true })
  }
}

async function restartBroker(options, signal, andStart) {
  const state = readState(options.dir)
  const entry = state.parts.kafka
  if (!isRunning(entry?.process)) throw new Error('the broker is not running')
  report(`${kafka.title}: ${await end(entry.process, signal, STOP_TIMEOUT_MS)}`)
  delete entry.process
  writeState(options.dir, state)
  if (andStart) await startBroker(options)
}

async function startBroker({ dir }) {
  const state = readState(dir)
  const entry = state.parts.kafka
  if (entry === undefined) throw new Error(`no broker was ever started in ${dir}`)
  if (isRunning(entry.process)) return report('the broker is running')
  for (const port of Object.values(entry.ports)) {
    if (!(await isFree(port))) throw new Error(`the broker's port ${port} is taken by another process`)
  }
  await startPart(dir, state, kafka)
}

function status({ dir, only, json }) {
  const state = readState(dir)
  const rows = only.map((part) => {
    const entry = state.parts[part.name]
    const running = isRunning(entry?.process)
    const variables = entry === undefined ? {} : part.variables(entry.ports)
    const pid = running ? entry.process.pid : undefined
    return { part: part.name, running, address: Object.values(variables)[0], pid, residentMiB: pid && residentMiB(pid) }
  })
  if (json) print(JSON.stringify(rows))
  else {
    for (const { part, running, address, pid, residentMiB } of rows) {
      print(`${part.padEnd(9)} ${running ? `up   ${address}  pid ${pid}  ${residentMiB ?? '?'} MiB` : 'down'}`)
    }
  }
  if (rows.some((row) => !row.running)) process.exitCode = 1
}

function printVariables({ dir }) {
  const state = readState(dir)
  const up = PARTS.filter((part) => isRunning(state.parts[part.name]?.process))
  if (up.length === 0) throw new Error(`nothing runs in ${dir}`)
  for (const part of up) {
    for (const [name, value] of Object.entries(part.variables(state.parts[part.name].ports))) {
      print(`export ${name}=${value}`)
    }
  }
}

function tail(log) {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-30).join('\n')
}

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dir: { type: 'string', default: fileURLToPath(new URL('../.stack/default', import.meta.url)) },
      only: { type: 'string' },
      fresh: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const names = values.only?.split(',') ?? PARTS.map((part) => part.name)
  const unknown = names.filter((name) => !PARTS.some((part) => part.name === name))
  if (unknown.length > 0) throw new Error(`unknown part ${unknown.join(', ')}: kafka, registry or postgres`)
  const only = PARTS.filter((part) => names.includes(part.name))
  return { ...values, command: positionals.length === 1 ? positionals[0] : undefined, dir: resolve(values.dir), only }
}

try {
  const options = readOptions()
  if (options.help) process.stdout.write(USAGE)
  else if (!Object.hasOwn(commands, options.command ?? '')) {
    process.stderr.write(USAGE)
    process.exitCode = 2
  } else await commands[options.command](options)
} catch (error) {
  report(error.message)
  process.exitCode = 1
}
