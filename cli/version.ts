import { readFileSync } from 'node:fs'

/** The version of the code that runs. dist/cli/version.js stands two folders below package.json. */
export function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string
  }
  return version
}
