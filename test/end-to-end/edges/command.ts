import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

export const program = join(resolve(import.meta.dirname, '../../..'), 'dist/cli/main.js')
const run = promisify(execFile)

/** Standard output of `hutong …`. @throws Error with its error output where the exit code is not 0 */
export async function hutong(cwd: string, ...parameters: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [program, ...parameters], {
    cwd,
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, NO_COLOR: '1' },
  })
  return stdout
}
