/** The process environment, read here and nowhere else. */
export interface Environment {
  readonly databaseUrl?: string
  readonly kafkaBrokers?: readonly string[]
  readonly schemaRegistryUrl?: string
  readonly topicPrefix?: string
  readonly language: 'zh' | 'en'
  readonly ci: boolean
  /** All variables, for `${NAME}` in configuration files. */
  readonly variables: Readonly<Record<string, string | undefined>>
}

/**
 * Reads `HUTONG_DATABASE_URL`, `HUTONG_KAFKA_BROKERS` (comma-separated host:port), `HUTONG_SCHEMA_REGISTRY_URL`,
 * `HUTONG_TOPIC_PREFIX` and `HUTONG_LANG` (zh or en; otherwise the locale: LC_ALL, LC_MESSAGES, LANG, on Windows the
 * language of the system).
 * An empty variable counts as unset.
 */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>> = process.env): Environment {
  const value = (name: string): string | undefined => {
    const text = variables[name]?.trim()
    return text === '' ? undefined : text
  }
  const databaseUrl = value('HUTONG_DATABASE_URL')
  const schemaRegistryUrl = value('HUTONG_SCHEMA_REGISTRY_URL')
  const topicPrefix = value('HUTONG_TOPIC_PREFIX')
  const brokers = value('HUTONG_KAFKA_BROKERS')
    ?.split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '')
  const locale = value('HUTONG_LANG') ?? value('LC_ALL') ?? value('LC_MESSAGES') ?? value('LANG') ?? systemLocale()
  return {
    ...(databaseUrl !== undefined && { databaseUrl }),
    ...(brokers !== undefined && brokers.length > 0 && { kafkaBrokers: brokers }),
    ...(schemaRegistryUrl !== undefined && { schemaRegistryUrl }),
    ...(topicPrefix !== undefined && { topicPrefix }),
    language: locale.toLowerCase().startsWith('zh') ? 'zh' : 'en',
    ci: value('CI') === 'true',
    variables,
  }
}

/** Windows says the language in no variable. */
const systemLocale = (): string =>
  process.platform === 'win32' ? Intl.DateTimeFormat().resolvedOptions().locale : 'en'
