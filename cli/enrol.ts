import { join } from 'node:path'
import type { Command } from 'commander'
import { readToken } from '../core/enrolment-token.js'
import { enrol } from '../log/enrol.js'
import { identityFiles } from '../log/identity.js'
import { configurationOf, withPlace, type PlaceFlags } from './repository-access.js'
import type { Terminal } from './terminal.js'

export function enrolCommand(program: Command, terminal: Terminal): void {
  withPlace(program.command('enrol <gateway> <token>'))
    .description('get the client certificate of this edge for a token of the province; spool and configuration stay')
    .option('--proxy <url>', "http://user:password@host:port of a proxy (default: the configuration's)")
    .addHelpText(
      'after',
      '\nThe key is made here and never leaves this machine. Where the answer is lost, run the same command again.' +
        '\nExit code: 2 another gateway, or a refusal; 3 the gateway cannot be reached.',
    )
    .action(async (gateway: string, text: string, flags: PlaceFlags & { proxy?: string }) => {
      const token = readToken(text)
      const { dataDir = '.hutong', uplink } = await configurationOf(flags, terminal)
      const proxy = flags.proxy ?? uplink?.proxy
      const url = gateway.includes('://') ? gateway : `https://${gateway}`
      const files = identityFiles(dataDir)
      const identity = await enrol({ gateway: url, token, files, ...(proxy !== undefined && { proxy }) })
      const place = join(dataDir, 'identity')
      terminal.out(
        terminal.environment.language === 'zh'
          ? `已登记：医院 ${identity.hospital}，前置机 ${identity.edge}；证书与密钥在 ${place}\n`
          : `enrolled as ${identity.edge} of ${identity.hospital}; identity in ${place}\n`,
      )
    })
}
