import { endOfCertificate, readServerCertificate } from '../../api/gateway/server-certificate.js'
import { systemClock } from '../../core/clock.js'
import { failure, ok, warning, type Look } from './finding.js'

/** The gateway's own certificate: whether it can be used, and until when. */
export const lookAtCertificate: Look = ({ gateway }, say) => {
  if (gateway === undefined) return Promise.resolve([])
  try {
    const { until } = readServerCertificate(gateway)
    const now = systemClock.now()
    const days = Math.floor((until - now) / 86_400_000)
    const date = new Date(until).toISOString().slice(0, 10)
    const found = say(
      `the gateway's certificate ends on ${date}, in ${days} days`,
      `网关证书 ${date} 到期，还有 ${days} 天`,
    )
    const renew = say(': renew it (hutong ca server --renew)', '：请更换（hutong ca server --renew）')
    switch (endOfCertificate(until, now)) {
      case 'ended':
        return Promise.resolve([
          failure(
            'certificate',
            say(
              `the gateway's certificate ended on ${date}: no edge connects`,
              `网关证书已于 ${date} 到期，前置机连不上`,
            ) + renew,
          ),
        ])
      case 'soon':
        return Promise.resolve([warning('certificate', found + renew)])
      default:
        return Promise.resolve([ok('certificate', found)])
    }
  } catch (error) {
    return Promise.resolve([failure('certificate', (error as Error).message)])
  }
}
