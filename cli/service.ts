import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Command } from 'commander'
import { UsageError } from '../core/errors.js'
import { installationPaths, readCurrent } from './installation/installation.js'
import { serviceActions, serviceName, servicePlan, type ServiceStep } from './installation/service-plan.js'
import { exitCodes, type Terminal } from './terminal.js'
import { folderOf } from './update.js'

interface ServiceFlags {
  readonly folder?: string
  readonly user?: string
  readonly dryRun?: boolean
}

const call = promisify(execFile)
const texts = {
  install: 'start this installation with the machine, and again after a crash (systemd, or a service of Windows)',
  uninstall: 'stop the service and take it away; configuration and data stay',
  status: 'what the system says of the service',
} as const

export function serviceCommand(program: Command, terminal: Terminal): void {
  const service = program.command('service').description('the edge as a service of the operating system')
  for (const action of serviceActions) {
    const command = service
      .command(action)
      .description(texts[action])
      .option('--folder <dir>', 'the installation; otherwise the one this command belongs to')
      .option('--dry-run', 'print what would be written and run, and change nothing')
    if (action === 'install')
      command.option('--user <name>', "Linux: the user it runs as; otherwise the owner of the installation's folder")
    command
      .addHelpText('after', '\nNeeds the rights of an administrator (root on Linux), except for status and --dry-run.')
      .action(async (flags: ServiceFlags) => {
        const folder = await folderOf(flags)
        await readCurrent(folder)
        const user = action === 'install' && process.platform === 'linux' ? await userOf(folder, flags.user) : ''
        const plan = servicePlan(action, { platform: process.platform, folder, node: process.execPath, user })
        if (flags.dryRun === true) return terminal.out(planText(plan))
        if (action === 'install') await prepare(folder)
        process.exitCode = (await carryOut(plan, terminal)) ? exitCodes.ok : exitCodes.found
      })
  }
}

async function prepare(folder: string): Promise<void> {
  const { configuration, data } = installationPaths(folder)
  if (!existsSync(configuration))
    throw new UsageError(`there is no ${configuration}: write the configuration first, and try it with hutong run`)
  if (process.platform === 'win32') await mkdir(join(data, 'logs'), { recursive: true })
}

async function userOf(folder: string, wanted: string | undefined): Promise<string> {
  const owner = wanted ?? (await stat(folder)).uid.toString()
  const name = await call('id', ['-un', owner]).catch(() => {
    throw new UsageError(`there is no user ${owner}: useradd --system ${owner}`)
  })
  const user = name.stdout.trim()
  if (user === 'root' && wanted !== 'root')
    throw new UsageError(
      `${folder} belongs to root: give it to a user of its own (useradd --system ${serviceName}; ` +
        `chown -R ${serviceName} "${folder}"), or say --user root`,
    )
  return user
}

/** Whether every step went well; ends at the first that did not. */
async function carryOut(steps: readonly ServiceStep[], terminal: Terminal): Promise<boolean> {
  for (const step of steps) {
    if (step.kind === 'remove') await rm(step.path, { force: true })
    else if (step.kind === 'write') await write(step.path, step.content)
    else if (!(await started(step, terminal))) return false
  }
  return true
}

async function write(path: string, content: string): Promise<void> {
  await writeFile(path, content).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`cannot write ${path}: ${error.code}; are you an administrator?`, { cause: error })
  })
}

async function started(
  { program, args, mayFail }: ServiceStep & { kind: 'run' },
  terminal: Terminal,
): Promise<boolean> {
  try {
    const { stdout } = await call(program, [...args])
    if (mayFail !== true) terminal.out(stdout)
    return true
  } catch (error) {
    if (mayFail === true) return true
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string }
    terminal.err(stdout === '' && stderr === '' ? `${message}\n` : `${stdout}${stderr}`)
    return false
  }
}

const planText = (steps: readonly ServiceStep[]): string => steps.map(stepText).join('')

function stepText(step: ServiceStep): string {
  if (step.kind === 'write') return `# ${step.path}\n${step.content.replaceAll('\r\n', '\n')}\n`
  if (step.kind === 'remove') return `$ remove ${step.path}\n`
  return `$ ${[step.program, ...step.args].join(' ')}\n`
}
