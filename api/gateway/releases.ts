import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { GatewayRefusal } from '../../core/gateway-refusals.js'
import { sha256Pattern } from '../../core/fleet-release.js'
import { releasesPath } from '../../core/fleet-report.js'
import { objectFile } from '../../log/object-store.js'
import type { Database } from '../../repository/database.js'
import { offeredObject } from '../../repository/edge-reports.js'
import type { GatewayRoute } from './route.js'

/** Hands out packages and configurations, resumably, to edges that a rollout gives them. */
export function releaseRoute({
  db,
  environment,
  dir,
}: {
  readonly db: Database
  readonly environment: string
  /** Folder object store that `hutong fleet publish` writes. */
  readonly dir: string
}): GatewayRoute {
  return {
    method: 'GET',
    path: releasesPath,
    identity: 'edge',
    async handle(request, { hospital, name }) {
      const sha256 = (request.url ?? '').split('?', 1)[0]!.slice(releasesPath.length)
      if (!new RegExp(sha256Pattern).test(sha256)) throw new GatewayRefusal('release-unknown')
      const offered = await offeredObject(db, { environment, hospital, edge: name }, sha256)
      if (offered === undefined) throw new GatewayRefusal('release-unknown')
      const file = objectFile(dir, sha256)
      const size = await stat(file).then(
        (found) => found.size,
        () => undefined,
      )
      if (size !== offered.bytes) throw new GatewayRefusal('release-missing', '', 60)
      const from = rangeStart(request.headers.range, size)
      return {
        stream: createReadStream(file, { start: from }),
        bytes: size - from,
        contentType: 'application/octet-stream',
        ...(from > 0 && { from }),
      }
    },
  }
}

/** First byte asked for with `bytes=<n>-` (RFC 9110 section 14.2); any other form is answered whole, as section 14.2 allows. */
export function rangeStart(range: string | undefined, size: number): number {
  const start = Number(/^bytes=(\d{1,15})-$/.exec(range ?? '')?.[1] ?? 0)
  return start < size ? start : 0
}
