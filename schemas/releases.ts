import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { eventNames, type AvroRecord, type EventSchema } from './catalogue.js'

/** The schemas as one version of the product shipped them; `scripts/release-schemas.mjs` writes them, nobody edits them. */
export interface SchemaRelease {
  readonly version: string
  readonly schemas: readonly EventSchema[]
}

const releasedFolder = fileURLToPath(new URL('./released/', import.meta.url))

/** Every released version in git, oldest first. */
export function loadReleases(folder: string = releasedFolder): readonly SchemaRelease[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort((left, right) => left.localeCompare(right, 'en', { numeric: true }))
    .map((version) => ({
      version,
      schemas: eventNames
        .filter((event) => existsSync(`${folder}/${version}/${event}.avsc`))
        .map((event) => {
          const schema = JSON.parse(readFileSync(`${folder}/${version}/${event}.avsc`, 'utf8')) as AvroRecord
          return { event, schema, text: JSON.stringify(schema) }
        }),
    }))
}
