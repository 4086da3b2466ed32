import { posix, win32 } from 'node:path'
import { UsageError } from '../../core/errors.js'
import { systemdUnit } from './systemd-unit.js'
import { windowsService } from './windows-service.js'

export const serviceName = 'hutong-edge'
/** What the service runs, in the folder of the installation. */
export const serviceCommand: readonly string[] = ['supervise']

export const serviceActions = ['install', 'uninstall', 'status'] as const
export type ServiceAction = (typeof serviceActions)[number]

export interface ServiceFacts {
  /** `process.platform`. */
  readonly platform: string
  /** The installation, absolute. */
  readonly folder: string
  /** The Node binary, absolute. */
  readonly node: string
  /** Linux: whose rights the service has. */
  readonly user: string
}

export type ServiceStep =
  | { readonly kind: 'write'; readonly path: string; readonly content: string }
  /** `mayFail`: what it brings about may be so already. */
  | { readonly kind: 'run'; readonly program: string; readonly args: readonly string[]; readonly mayFail?: boolean }
  | { readonly kind: 'remove'; readonly path: string }

/** The steps of an action, in their order. Pure. @throws UsageError where this system has no services that are known here */
export function servicePlan(action: ServiceAction, facts: ServiceFacts): readonly ServiceStep[] {
  if (facts.platform === 'linux') return systemdPlan(action, facts)
  if (facts.platform === 'win32') return windowsPlan(action, facts)
  throw new UsageError(
    `services are set up on Linux (systemd) and Windows; on ${facts.platform} start hutong run yourself`,
  )
}

function systemdPlan(action: ServiceAction, { folder, node, user }: ServiceFacts): readonly ServiceStep[] {
  // eslint-disable-next-line no-restricted-syntax -- systemd is on Linux only
  const path = `/etc/systemd/system/${serviceName}.service`
  const systemctl = (args: readonly string[], mayFail = false) =>
    ({ kind: 'run', program: 'systemctl', args, mayFail }) as const
  switch (action) {
    case 'status':
      return [systemctl(['status', '--no-pager', serviceName])]
    case 'uninstall':
      return [
        systemctl(['disable', '--now', serviceName], true),
        { kind: 'remove', path },
        systemctl(['daemon-reload']),
      ]
    case 'install': {
      const command = [node, posix.join(folder, 'launcher.cjs'), ...serviceCommand]
      return [
        { kind: 'write', path, content: systemdUnit({ folder, command, user }) },
        systemctl(['daemon-reload']),
        systemctl(['enable', serviceName]),
        systemctl(['restart', serviceName]),
      ]
    }
  }
}

function windowsPlan(action: ServiceAction, { folder, node }: ServiceFacts): readonly ServiceStep[] {
  const program = win32.join(folder, 'service', `${serviceName}.exe`)
  const wrapper = (verb: string, mayFail = false) => ({ kind: 'run', program, args: [verb], mayFail }) as const
  switch (action) {
    case 'status':
      return [wrapper('status')]
    case 'uninstall':
      return [wrapper('stop', true), wrapper('uninstall')]
    case 'install': {
      if (`${folder}${node}`.includes('%'))
        throw new UsageError(
          `${folder}: WinSW reads % in a path as a variable; move the installation to another folder`,
        )
      const args = [win32.join(folder, 'launcher.cjs'), ...serviceCommand]
      const content = windowsService({ name: serviceName, folder, node, args })
      return [
        // The wrapper takes name and start mode over when it installs, and only then.
        wrapper('stop', true),
        wrapper('uninstall', true),
        { kind: 'write', path: win32.join(folder, 'service', `${serviceName}.xml`), content },
        wrapper('install'),
        wrapper('start'),
      ]
    }
  }
}
