import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { edgeReport } from '../../core/fleet-report.js'
import { sha256Pattern } from '../../core/fleet-release.js'
import { UsageError } from '../../core/errors.js'
import { replaceFile } from '../../log/replace-file.js'

const number = Type.Integer({ minimum: 1 })
const packageRelease = Type.Object({ number, version: Type.String() })
const configurationRelease = Type.Object({ number, sha256: Type.String({ pattern: sha256Pattern }) })
const packageOrNone = Type.Union([packageRelease, Type.Null()])
const configurationOrNone = Type.Union([configurationRelease, Type.Null()])

const fleetState = Type.Object({
  format: Type.Literal(1),
  /** What runs when nothing is on trial; null: what was put there by hand. */
  package: packageOrNone,
  previousPackage: packageOrNone,
  configuration: configurationOrNone,
  previousConfiguration: configurationOrNone,
  /** Highest number that was kept, by kind: nothing older is taken as news. */
  highest: Type.Object({ package: Type.Integer(), configuration: Type.Integer() }),
  /** Numbers that are not tried again. */
  failed: Type.Array(number),
  outcomes: edgeReport.properties.outcomes,
  /**
   * trial: runs, and current.json still names the version before. keeping, returning: decided, and current.json may name
   * either.
   */
  change: Type.Union([
    Type.Object({
      phase: Type.Union([Type.Literal('trial'), Type.Literal('keeping'), Type.Literal('returning')]),
      release: Type.Union([
        Type.Object({ kind: Type.Literal('package'), number, version: Type.String() }),
        Type.Object({ kind: Type.Literal('configuration'), number, sha256: Type.String({ pattern: sha256Pattern }) }),
      ]),
      /** How often the trial was begun: a power cut begins it again. */
      starts: Type.Integer({ minimum: 0 }),
      /** The uplink, and the feeds that listened, before. */
      before: Type.Object({
        uplinkAccepted: Type.Union([Type.Boolean(), Type.Null()]),
        feeds: Type.Array(Type.String()),
      }),
    }),
    Type.Null(),
  ]),
})
export type FleetState = Static<typeof fleetState>
export type Change = NonNullable<FleetState['change']>
export type CandidateRelease = Change['release']

export const newState: FleetState = {
  format: 1,
  package: null,
  previousPackage: null,
  configuration: null,
  previousConfiguration: null,
  highest: { package: 0, configuration: 0 },
  failed: [],
  outcomes: [],
  change: null,
}

/** Where the supervisor keeps its things: below dataDir, which no update touches. */
export const fleetPaths = (dataDir: string) => ({
  state: join(dataDir, 'fleet', 'state.json'),
  download: (sha256: string): string => join(dataDir, 'fleet', 'downloads', sha256),
  downloads: join(dataDir, 'fleet', 'downloads'),
  configurations: join(dataDir, 'fleet', 'configurations'),
  configuration: (sha256: string): string => join(dataDir, 'fleet', 'configurations', `${sha256}.yaml`),
})

/** @throws UsageError where the file is there and unreadable: guessing could start what failed */
export async function readState(file: string): Promise<FleetState> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return newState
    throw new UsageError(`cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
  try {
    const value: unknown = JSON.parse(text)
    if (Value.Check(fleetState, value)) return value
  } catch {
    // told below
  }
  throw new UsageError(`${file} is unreadable: with the service stopped, remove it to run what current.json names`)
}

/** Whole and durable, or as it was. */
export async function writeState(file: string, state: FleetState): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true })
  await replaceFile(file, `${JSON.stringify(state, undefined, 1)}\n`)
}
