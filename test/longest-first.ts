import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Minutes each: begun last, one of them would keep a worker busy while the other has nothing left. Longest first. */
const longest = [
  'test/simulation/crash.test.ts',
  'test/end-to-end/twenty-edges.test.ts',
  'test/end-to-end/upgrade-under-kills.test.ts',
  'test/installation/package.test.ts',
  'test/gateway/enrolled-edge.test.ts',
  'test/simulation/tamper.test.ts',
  'test/log/kafka-faults.test.ts',
  'test/services/watch/watch.test.ts',
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId, project }: TestSpecification): number => {
      const at = longest.indexOf(relative(project.config.root, moduleId).replaceAll('\\', '/'))
      return at === -1 ? longest.length : at
    }
    const sorted = await super.sort(files)
    return sorted
      .map((file, at) => ({ file, at, rank: rank(file) }))
      .sort((a, b) => a.rank - b.rank || a.at - b.at)
      .map(({ file }) => file)
  }
}
