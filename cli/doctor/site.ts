import { randomBytes, X509Certificate } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { refusalSentence } from '../../core/gateway-refusals.js'
import { helloOfGateway } from '../../log/uplink-hello.js'
import { uplinkOf } from '../uplink-role.js'
import { failure, ok, warning, type Finding, type Look, type Say } from './finding.js'

const skewMaxMs = 5000
const certificateDaysMin = 30

/** Whether the gateway is reached, takes this edge and its feeds, and has the same time. */
export const lookAtGateway: Look = async ({ uplink, environment, feeds, dataDir = '.hutong' }, say) => {
  if (uplink === undefined) return []
  const way = await uplinkOf(uplink, dataDir).catch((error: Error) => error)
  if (way instanceof Error) return [failure('certificate', way.message)]
  const findings = [await certificateFinding(way.certFile, say)]
  const language = say('en', 'zh') as 'en' | 'zh'
  const before = Date.now()
  const hello = await helloOfGateway({ ...way, language }).catch((error: Error) => error)
  const at = (before + Date.now()) / 2
  if (hello instanceof Error) {
    const { message } = hello
    return [
      ...findings,
      failure(
        'gateway',
        say(
          `not reached or not accepted: ${message}. Look at the address, the firewall's outbound port, the proxy`,
          `连不上或不被接受：${message}。请检查地址、防火墙出站端口与代理`,
        ),
      ),
    ]
  }
  const { hospital, edge } = hello
  const known = say(
    `the gateway knows this edge as ${edge} of ${hospital}`,
    `网关认得本前置机：医院 ${hospital}，${edge}`,
  )
  findings.push(ok('gateway', known))
  if (hello.environment !== environment) {
    findings.push(failure('gateway', refusalSentence('environment-mismatch', '', language)))
  }
  for (const feed of feeds) {
    const owner = feed.hospital === hospital
    if (!owner) findings.push(failure(`feed ${feed.name}`, refusalSentence('hospital-forged', '', language)))
    else if (!hello.feeds.includes(feed.name))
      findings.push(failure(`feed ${feed.name}`, refusalSentence('feed-unknown', '', language)))
    else findings.push(ok(`feed ${feed.name}`, say('the gateway takes it', '网关接收该来源')))
  }
  findings.push(skewFinding(at - hello.now, say))
  return findings
}

function skewFinding(aheadMs: number, say: Say): Finding {
  const seconds = (Math.abs(aheadMs) / 1000).toFixed(1)
  const skew =
    aheadMs > 0
      ? say(`the clock is ${seconds} s ahead of the gateway's`, `本机时钟比网关快 ${seconds} 秒`)
      : say(`the clock is ${seconds} s behind the gateway's`, `本机时钟比网关慢 ${seconds} 秒`)
  if (Math.abs(aheadMs) <= skewMaxMs) return ok('clock', skew)
  return warning(
    'clock',
    `${skew}${say(
      ': receipt times and certificates depend on it; let the operating system set it by NTP',
      '：接收时间与证书有效期都依赖它；请让操作系统用 NTP 对时',
    )}`,
  )
}

async function certificateFinding(certFile: string, say: Say): Promise<Finding> {
  try {
    const { validTo } = new X509Certificate(await readFile(certFile))
    const days = Math.floor((Date.parse(validTo) - Date.now()) / 86_400_000)
    if (days < 0)
      return failure('certificate', say(`${certFile} has expired: get a new one`, `${certFile} 已过期：请换发证书`))
    const left = say(`${certFile} is valid for ${days} more days`, `${certFile} 还有 ${days} 天有效`)
    return days < certificateDaysMin
      ? warning('certificate', `${left}${say(': renew it now', '：请现在就换发')}`)
      : ok('certificate', left)
  } catch (error) {
    return failure('certificate', `${certFile}: ${(error as Error).message}`)
  }
}

/** Whether the folders that senders drop files into can be read, and written to where files are put away. */
export const lookAtFolders: Look = async ({ feeds }, say) => {
  const folders = feeds.flatMap(({ name, settings }) =>
    typeof settings.folder === 'string' ? [{ name, folder: settings.folder, isKept: settings.after === 'keep' }] : [],
  )
  return Promise.all(
    folders.map(async ({ name, folder, isKept }) => {
      const part = `feed ${name}`
      try {
        const entries = await readdir(folder)
        if (!isKept) await writeOnce(folder)
        return ok(
          part,
          say(`${folder} can be used; ${entries.length} entries in it`, `${folder} 可用，其中 ${entries.length} 项`),
        )
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        return failure(
          part,
          say(
            `${folder} cannot be used (${code ?? message}): look at the path, the share, and the rights of the service's user`,
            `${folder} 不可用（${code ?? message}）：请检查路径、共享以及服务账户的权限`,
          ),
        )
      }
    }),
  )
}

/** Named as a file that is still being written: no reader of the folder takes it up. */
async function writeOnce(folder: string): Promise<void> {
  const path = join(folder, `.hutong-doctor-${randomBytes(4).toString('hex')}.tmp`)
  await writeFile(path, '', { flag: 'wx' })
  await rm(path, { force: true })
}
