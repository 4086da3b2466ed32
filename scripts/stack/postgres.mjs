import { spawnSync } from 'node:child_process'
import { appendFileSync, chownSync, existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { HOST } from './ports.mjs'
import { run } from './processes.mjs'

const DEBIAN_BINARIES = '/usr/lib/postgresql/15/bin'
const GIB = 2 ** 30

/** PostgreSQL 15 with a role and a database `hutong`; the role may create databases and is no superuser. */
export const postgres = {
  name: 'postgres',
  title: 'PostgreSQL',
  ports: ['server'],
  stopSignal: 'SIGINT', // fast shutdown: roll back, checkpoint, end
  variables: ({ server }) => ({ HUTONG_DATABASE_URL: `postgres://hutong@${HOST}:${server}/hutong` }),

  prepare({ dir, ports }) {
    const data = join(dir, 'data')
    const owner = serverUser()
    const as = { ...owner, cwd: dir, env: { PATH: process.env.PATH, LANG: 'C.UTF-8', TZ: 'UTC' } }
    mkdirSync(dir, { recursive: true })
    if (owner.uid !== undefined) {
      chownSync(dir, owner.uid, owner.gid)
      if (spawnSync('test', ['-w', '.'], as).status !== 0) {
        throw new Error(`the user postgres can't reach ${dir}: choose another --dir or open its parents (chmod o+x)`)
      }
    }
    const initialised = join(dir, 'initialised')
    if (!existsSync(initialised)) {
      rmSync(data, { recursive: true, force: true })
      initialise(data, as)
      writeFileSync(initialised, '')
    }
    writeFileSync(join(data, 'hutong.conf'), settings(dir, ports))
    return { command: binary('postgres'), args: ['-D', data], ...as }
  },

  async answers({ ports }) {
    const question = ['-h', HOST, '-p', String(ports.server), '-U', 'hutong', '-d', 'hutong', '-XAtc', 'SELECT 1']
    const env = { PATH: process.env.PATH, PGCONNECT_TIMEOUT: '2' }
    return spawnSync(binary('psql'), question, { env, encoding: 'utf8', timeout: 5000 }).stdout?.trim() === '1'
  },
}

function initialise(data, as) {
  run(binary('initdb'), ['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8', '--auth=reject'], as)
  // single-user mode: the superuser never gets a way in over the network. One statement a line.
  const statements = [
    'CREATE ROLE hutong LOGIN CREATEDB',
    'GRANT pg_checkpoint, pg_monitor TO hutong', // benchmarks place checkpoints and read statistics
    'CREATE DATABASE hutong OWNER hutong',
  ]
  const input = statements.map((statement) => `${statement};\n`).join('')
  const { stderr } = run(binary('postgres'), ['--single', '-D', data, 'postgres'], { ...as, input })
  if (/ERROR|FATAL/.test(stderr)) throw new Error(`the role and database can't be created: ${stderr}`) // exit code is 0
  writeFileSync(join(data, 'pg_hba.conf'), `host all hutong ${HOST}/32 trust\n`)
  appendFileSync(join(data, 'postgresql.conf'), "include 'hutong.conf'\n")
}

function settings(dir, ports) {
  const memory = process.constrainedMemory?.() || totalmem()
  const total = Math.min(memory, totalmem())
  const disk = statfsSync(dir)
  const isRoomy = disk.bavail * disk.bsize > 24 * GIB
  const values = {
    listen_addresses: `'${HOST}'`,
    port: ports.server,
    unix_socket_directories: "''",
    max_connections: 200,
    shared_buffers: total >= 6 * GIB ? '1GB' : '128MB',
    effective_cache_size: total >= 6 * GIB ? '3GB' : '512MB',
    work_mem: '16MB',
    maintenance_work_mem: total >= 6 * GIB ? '256MB' : '64MB',
    max_wal_size: isRoomy ? '8GB' : '1GB',
    checkpoint_completion_target: 0.9,
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    wal_compression: 'off',
    timezone: "'UTC'",
    log_timezone: "'UTC'",
    log_checkpoints: 'on',
    // the log's end is shown in build output
    log_parameter_max_length: 0,
    log_parameter_max_length_on_error: 0,
  }
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('')
}

/** The server refuses to run as root: then it runs as the operating system's user `postgres`. */
function serverUser() {
  if (process.getuid?.() !== 0) return {}
  return { uid: Number(run('id', ['-u', 'postgres']).stdout), gid: Number(run('id', ['-g', 'postgres']).stdout) }
}

function binary(name) {
  const debian = join(DEBIAN_BINARIES, name)
  return existsSync(debian) ? debian : name
}
