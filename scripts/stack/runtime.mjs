import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './processes.mjs'

const POM = fileURLToPath(new URL('./pom.xml', import.meta.url))
const STORE = fileURLToPath(new URL('../../.stack/', import.meta.url))

/**
 * The Kafka class path and the registry's jar, resolved by Maven once per version of pom.xml; after that nothing
 * needs the network or Maven.
 */
export function resolveRuntime(report) {
  const version = createHash('sha256').update(readFileSync(POM)).digest('hex').slice(0, 12)
  const path = join(STORE, `runtime-${version}`)
  const resolved = readRuntime(path)
  if (resolved !== undefined) return resolved

  report('resolving Kafka and the registry with Maven')
  const unfinished = `${path}.${process.pid}`
  mkdirSync(unfinished, { recursive: true })
  run('mvn', ['-B', '-ntp', '-q', '-f', POM, 'process-resources', `-Dstack.output=${unfinished}`])
  if (readRuntime(unfinished) === undefined) throw new Error(`Maven left ${unfinished} incomplete`)
  rmSync(path, { recursive: true, force: true })
  renameSync(unfinished, path)
  return readRuntime(path)
}

/** The Java 17 or newer to run with: JAVA_HOME's, else the one on the path. @throws Error if there is none */
export function findJava() {
  const home = process.env.JAVA_HOME
  const java = home !== undefined && existsSync(join(home, 'bin/java')) ? join(home, 'bin/java') : 'java'
  const { stderr } = run(java, ['-version'])
  const major = Number(/version "(\d+)/.exec(stderr)?.[1])
  if (!(major >= 17)) throw new Error(`Java 17 or newer is needed, ${java} is ${stderr.split('\n')[0]}`)
  return java
}

function readRuntime(path) {
  const classPathFile = join(path, 'kafka.classpath')
  const registry = join(path, 'registry')
  if (!existsSync(classPathFile) || !existsSync(registry)) return undefined
  const kafkaClassPath = readFileSync(classPathFile, 'utf8').trim()
  const jar = readdirSync(registry).find((name) => name.endsWith('-runner.jar'))
  if (jar === undefined || !kafkaClassPath.split(delimiter).every(existsSync)) return undefined
  return { kafkaClassPath, registryJar: join(registry, jar) }
}
