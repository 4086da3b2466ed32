import { COMPATIBILITY, SchemaRegistry as ConfluentClient, SchemaType } from '@kafkajs/confluent-schema-registry'
import { RetryableError, UsageError } from '../core/errors.js'
import { UnknownSubject, type SchemaRegistry } from './registry.js'

const requestTimeoutMs = 10_000

/** A registry that speaks the Confluent API: Confluent's, Apicurio's `/apis/ccompat/v7`, Karapace, Redpanda. */
export interface ConfluentRegistry extends SchemaRegistry {
  /**
   * Holds the subject to FULL_TRANSITIVE, then registers the schema unless it is there.
   * @throws SchemaRefused with the registry's words, RetryableError while it cannot be asked
   */
  register(subject: string, schemaText: string): Promise<number>
  /** Texts of all versions of a subject by number, oldest first; none where there is no such subject. */
  versions(subject: string): Promise<ReadonlyMap<number, string>>
}

/** The registry does not take this version. */
export class SchemaRefused extends Error {
  override readonly name = 'SchemaRefused'
}

/** Connects to nothing: each call is one request. Credentials may stand in the URL. @throws UsageError for no URL */
export function confluentRegistry(url: string): ConfluentRegistry {
  const { host, auth, shown } = addressOf(url)
  const client = new ConfluentClient({
    host,
    clientId: 'hutong',
    retry: { retries: 0 },
    ...(auth !== undefined && { auth }),
    middlewares: [
      () => ({
        prepareRequest: (next) => next().then((request) => request.enhance({ timeout: requestTimeoutMs } as never)),
      }),
    ],
  })
  const send = async (method: 'GET' | 'PUT', path: string, body?: object): Promise<unknown> => {
    const headers = new Headers({ 'content-type': 'application/vnd.schemaregistry.v1+json' })
    if (auth !== undefined) {
      headers.set('authorization', `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`)
    }
    const signal = AbortSignal.timeout(requestTimeoutMs)
    const init = { method, headers, signal, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await fetch(`${host}${path}`, init)
    if (!response.ok) throw new Answer(response.status, `${method} ${path}: ${await response.text()}`)
    return response.json()
  }

  return {
    async idFor(subject, schemaText) {
      try {
        return await client.getRegistryIdBySchema(subject, { type: SchemaType.AVRO, schema: schemaText })
      } catch (error) {
        // the library's way to say 404
        if ((error as Error).name === 'ConfluentSchemaRegistryError') {
          throw new UnknownSubject(`${subject}: ${(error as Error).message}`)
        }
        throw outcome(error, shown)
      }
    },
    async schemaOf(id) {
      try {
        return textOf(await send('GET', `/schemas/ids/${id}`))
      } catch (error) {
        if (statusOf(error) === 404) return undefined
        throw outcome(error, shown)
      }
    },
    async register(subject, schemaText) {
      const compatibility = COMPATIBILITY.FULL_TRANSITIVE
      try {
        // first the rule, so that no version ever stands under a weaker one
        await send('PUT', `/config/${encodeURIComponent(subject)}`, { compatibility })
        const schema = { type: SchemaType.AVRO, schema: schemaText } as const
        return (await client.register(schema, { subject, compatibility })).id
      } catch (error) {
        const status = statusOf(error)
        if (status === 409 || status === 422) throw new SchemaRefused(`${subject}: ${(error as Error).message}`)
        throw outcome(error, shown)
      }
    },
    async versions(subject) {
      const path = `/subjects/${encodeURIComponent(subject)}/versions`
      const texts = new Map<number, string>()
      try {
        for (const version of (await send('GET', path)) as number[]) {
          texts.set(version, textOf(await send('GET', `${path}/${version}`)) ?? '')
        }
      } catch (error) {
        if (statusOf(error) !== 404) throw outcome(error, shown)
      }
      return texts
    },
  }
}

class Answer extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

const statusOf = (error: unknown): number | undefined => (error as { readonly status?: number }).status

function outcome(error: unknown, shown: string): Error {
  const cause = error as Error
  const status = statusOf(error)
  if (status === 401 || status === 403) {
    return new UsageError(`the schema registry ${shown} refuses these credentials (${status})`, { cause })
  }
  const why = cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
  return new RetryableError(`the schema registry ${shown} does not answer as it should: ${why}`, { cause })
}

function textOf(answer: unknown): string | undefined {
  const text = (answer as { readonly schema?: unknown }).schema
  return typeof text === 'string' ? text : undefined
}

interface Address {
  /** Without credentials and closing slash. */
  readonly host: string
  readonly auth?: { readonly username: string; readonly password: string }
  /** For messages. */
  readonly shown: string
}

function addressOf(text: string): Address {
  let url
  try {
    url = new URL(text)
  } catch (cause) {
    throw new UsageError('the schema registry URL is not a URL, such as http://registry:8080/apis/ccompat/v7', {
      cause,
    })
  }
  const host = `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  if (url.username === '') return { host, shown: host }
  const auth = { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
  return { host, auth, shown: host }
}
