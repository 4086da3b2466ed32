import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../cli/demo/setting.js'
import { readEnvironment } from '../../core/environment.js'
import { until } from './mllp-client.js'

const program = '/usr/sbin/sshd'

/** OpenSSH's server is required under CI=true. */
export const hasSshd = spawnSync(program, ['-V']).error === undefined
if (readEnvironment().ci && !hasSshd) throw new Error('CI=true needs openssh-server')

/** OpenSSH's server on a free port, for this user, by key alone. */
export class SftpServer {
  private child: ChildProcess | undefined

  private constructor(
    private readonly folder: string,
    readonly port: number,
  ) {}

  static async open(): Promise<SftpServer> {
    const folder = await mkdtemp(join(tmpdir(), 'hutong-sshd-'))
    const server = new SftpServer(folder, await freePort())
    for (const name of ['host', 'user']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)])
    }
    await chmod(folder, 0o700)
    const settings = [
      `Port ${server.port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${join(folder, 'host')}`,
      `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
      `PidFile ${join(folder, 'pid')}`,
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'Subsystem sftp internal-sftp',
    ]
    // as root sshd wants its empty folder, which a service would have made
    if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
    await writeFile(join(folder, 'config'), settings.join('\n') + '\n')
    await server.start()
    return server
  }

  async start(): Promise<void> {
    this.child = spawn(program, ['-D', '-e', '-f', join(this.folder, 'config')], { stdio: 'ignore' })
    await until(() => this.answers(), 20_000)
  }

  /** Ends the server and every connection it holds. */
  async stop(): Promise<void> {
    const { child } = this
    this.child = undefined
    if (child?.pid === undefined || child.exitCode !== null) return
    const served = descendants(child.pid) // sshd serves each connection by processes of its own
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    for (const pid of served) kill(pid)
  }

  /** What a feed says of this server. */
  async settings(): Promise<{ host: string; port: number; user: string; hostKey: string; privateKeyFile: string }> {
    const shown = execFileSync('ssh-keygen', ['-lf', join(this.folder, 'host.pub')], { encoding: 'utf8' })
    const [, hostKey = ''] = shown.split(' ')
    const { username } = userInfo()
    return { host: '127.0.0.1', port: this.port, user: username, hostKey, privateKeyFile: join(this.folder, 'user') }
  }

  async close(): Promise<void> {
    await this.stop()
    await rm(this.folder, { recursive: true, force: true })
  }

  private async answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = createConnection(this.port, '127.0.0.1')
      socket.once('data', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('close', () => resolve(false))
      setTimeout(() => socket.destroy(), 500)
    })
  }
}

function descendants(pid: number): readonly number[] {
  const listed = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).stdout
  const children = listed.split('\n').map(Number).filter(Boolean)
  return [...children, ...children.flatMap(descendants)]
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it ended with its parent
  }
}
