import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { serviceActions, servicePlan, type ServiceFacts } from '../../cli/installation/service-plan.js'
import { systemdUnit } from '../../cli/installation/systemd-unit.js'
import { commandLineWord } from '../../cli/installation/windows-service.js'

const base = mkdtempSync(join(tmpdir(), 'hutong-service-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const linux: ServiceFacts = { platform: 'linux', folder: '/opt/互通 前置机', node: '/opt/n/node', user: 'hutong' }
const windows: ServiceFacts = {
  ...{ platform: 'win32', folder: 'C:\\互通 前置机 & Co', node: 'C:\\互通 前置机 & Co\\runtime\\node.exe', user: '' },
}

describe('on systemd', () => {
  it('the unit is written before it is enabled, and taken away after it was stopped', () => {
    const install = servicePlan('install', linux)
    expect(install.map(({ kind }) => kind)).toEqual(['write', 'run', 'run', 'run'])
    expect(install[0]).toMatchObject({ path: '/etc/systemd/system/hutong-edge.service' })
    expect(servicePlan('uninstall', linux).map(({ kind }) => kind)).toEqual(['run', 'remove', 'run'])
    expect(servicePlan('status', linux)).toHaveLength(1)
  })

  it('spaces, percent, dollar, quote and backslash in a path mean themselves', () => {
    const unit = systemdUnit({ folder: '/opt/100% a', command: ['/opt/100% a/node', '$HOME "x"\\'], user: 'hutong' })
    expect(unit).toContain('ExecStart="/opt/100%% a/node" "$$HOME \\"x\\"\\\\"\n')
    expect(unit).toContain('WorkingDirectory=/opt/100%% a\n')
    expect(unit).toContain('ReadWritePaths="/opt/100%% a"\n')
  })

  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)('systemd finds no fault in it', () => {
    const folder = join(base, '互通 100% 前置机')
    mkdirSync(folder)
    const [step] = servicePlan('install', { ...linux, folder, node: process.execPath, user: userInfo().username })
    const path = join(base, 'hutong-edge.service')
    writeFileSync(path, step?.kind === 'write' ? step.content : '')
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
    expect(stderr.split('\n').filter((line) => line.includes('hutong-edge'))).toEqual([])
    expect(status).toBe(0)
  })
})

describe('on Windows', () => {
  const written = (): string => {
    const step = servicePlan('install', windows).find(({ kind }) => kind === 'write')
    return step?.kind === 'write' ? step.content : ''
  }

  it('an older service makes room first', () => {
    const steps = servicePlan('install', windows)
    expect(steps.map((step) => (step.kind === 'run' ? step.args[0] : step.kind))).toEqual([
      'stop',
      'uninstall',
      'write',
      'install',
      'start',
    ])
    expect(steps[0]).toMatchObject({ program: 'C:\\互通 前置机 & Co\\service\\hutong-edge.exe', mayFail: true })
    expect(steps.at(-1)).not.toMatchObject({ mayFail: true })
  })

  it('the settings of the wrapper are well-formed XML with the paths as they are', () => {
    const read = execFileSync(
      'python3',
      [
        '-c',
        'import sys, json, xml.etree.ElementTree as e; r = e.fromstring(sys.stdin.buffer.read()); ' +
          'print(json.dumps([[c.tag, c.text, c.attrib] for c in r]))',
      ],
      { input: written(), encoding: 'utf8' },
    )
    const elements = JSON.parse(read) as [string, string, Record<string, string>][]
    const text = (tag: string): string | undefined => elements.find(([name]) => name === tag)?.[1]
    expect(text('executable')).toBe(windows.node)
    expect(text('arguments')).toBe('"C:\\互通 前置机 & Co\\launcher.cjs" supervise')
    expect(text('workingdirectory')).toBe(windows.folder)
    expect(elements.filter(([name]) => name === 'onfailure').map(([, , { action }]) => action)).toEqual([
      'restart',
      'restart',
    ])
  })

  it('words of a command line are quoted as CommandLineToArgvW reads them', () => {
    expect(['a', 'a b', 'a"b', 'C:\\a b\\', 'a\\"b', ''].map(commandLineWord)).toEqual([
      'a',
      '"a b"',
      '"a\\"b"',
      '"C:\\a b\\\\"',
      '"a\\\\\\"b"',
      '""',
    ])
  })

  it('a path that WinSW would misread is refused', () => {
    expect(() => servicePlan('install', { ...windows, folder: 'C:\\100%' })).toThrow('%')
  })
})

it('other systems are told so', () => {
  for (const action of serviceActions)
    expect(() => servicePlan(action, { ...linux, platform: 'darwin' })).toThrow('systemd')
})
