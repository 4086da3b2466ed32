import { mkdirSync } from 'node:fs'
import { HOST } from './ports.mjs'
import { findJava, resolveRuntime } from './runtime.mjs'

/** Apicurio Registry by its Confluent-compatible API; what it holds lives in memory and ends with it. */
export const registry = {
  name: 'registry',
  title: 'Apicurio Registry',
  ports: ['http'],
  stopSignal: 'SIGTERM',
  variables: ({ http }) => ({ HUTONG_SCHEMA_REGISTRY_URL: `http://${HOST}:${http}/apis/ccompat/v7` }),

  prepare({ dir, ports, report }) {
    const { registryJar } = resolveRuntime(report)
    mkdirSync(dir, { recursive: true })
    const properties = {
      'quarkus.http.host': HOST,
      'quarkus.http.port': ports.http,
      'quarkus.log.level': 'WARN',
      'registry.rest.artifact.deletion.enabled': true,
      'java.awt.headless': true,
      'java.io.tmpdir': dir,
    }
    const jvm = ['-Xms64m', '-Xmx320m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:+ExitOnOutOfMemoryError']
    const settings = Object.entries(properties).map(([key, value]) => `-D${key}=${value}`)
    return { command: findJava(), args: [...jvm, ...settings, '-jar', registryJar], cwd: dir }
  },

  async answers({ ports }) {
    try {
      const url = `http://${HOST}:${ports.http}/apis/ccompat/v7/subjects`
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
      return response.ok && Array.isArray(await response.json())
    } catch {
      return false
    }
  },
}
