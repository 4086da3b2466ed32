import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Configuration } from '../../cli/config.js'
import { readEnvironment } from '../../core/environment.js'
import { createDatabase } from '../repository/databases.js'

/** One place to run a whole pipeline on, of its own; `end` removes it. */
export interface Place {
  readonly configuration: Configuration
  end(): Promise<void>
}

export interface Stack {
  readonly name: 'embedded' | 'real'
  open(): Promise<Place>
}

const environment = readEnvironment()

/** The embedded stack, and the real one where the environment names it (required under CI=true). */
export function stacks(): readonly Stack[] {
  const { databaseUrl, kafkaBrokers, schemaRegistryUrl, ci } = environment
  const embedded: Stack = { name: 'embedded', open: openEmbedded }
  if (databaseUrl === undefined || kafkaBrokers === undefined || schemaRegistryUrl === undefined) {
    if (ci)
      throw new Error(
        'CI needs the real stack: set HUTONG_DATABASE_URL, HUTONG_KAFKA_BROKERS and HUTONG_SCHEMA_REGISTRY_URL',
      )
    return [embedded]
  }
  return [embedded, { name: 'real', open: () => openReal(databaseUrl, kafkaBrokers, schemaRegistryUrl) }]
}

const base = { environment: 'test' as const, logLevel: 'error', feeds: [] }

async function openEmbedded(): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), 'hutong-test-'))
  return {
    configuration: { ...base, dataDir } as Configuration,
    end: () => rm(dataDir, { recursive: true, force: true }),
  }
}

async function openReal(databaseUrl: string, brokers: readonly string[], registryUrl: string): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), 'hutong-test-'))
  const { name, url, drop } = await createDatabase(databaseUrl)
  return {
    configuration: {
      ...base,
      dataDir,
      database: { url },
      kafka: { brokers: [...brokers], prefix: name.replaceAll('_', '-'), partitions: 2 },
      schemaRegistry: { url: registryUrl },
    } as Configuration,
    async end() {
      await rm(dataDir, { recursive: true, force: true })
      await drop()
    },
  }
}
