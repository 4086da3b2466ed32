import { readFileSync } from 'node:fs'
import { UsageError } from './errors.js'

/** Text of a PEM file that a setting names. @throws UsageError naming the setting and the file */
export function readPemFile(setting: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`${setting}: cannot read ${file}: ${(error as NodeJS.ErrnoException).code}`, { cause: error })
  }
}
