import { createHash } from 'node:crypto'
import { ColumnSet, unnest, type ColumnType, type ColumnValue } from './array-column.js'
import type { Database } from './database.js'

/** How a laboratory states an item, verbatim, and how the catalogue reads that. */
export interface ResultForm {
  readonly localCodeId: number
  readonly unifiedItemId: number | null
  readonly text: string | null
  readonly altCode: string | null
  readonly altText: string | null
  readonly altSystem: string | null
  readonly valueType: string | null
  readonly unit: string | null
  readonly range: string | null
  readonly kind: string | null
  readonly ucum: string | null
  readonly rangeLow: string | null
  readonly rangeHigh: string | null
  readonly rangeText: string | null
}

/** Entries an in-process cache holds before it starts afresh. */
const cacheMax = 500_000

interface DictionarySpec {
  readonly table: string
  readonly key: Readonly<Record<string, ColumnType>>
  /** Written with a new entry; determined by the key. `numeric` columns are bound as text. */
  readonly rest?: Readonly<Record<string, ColumnType>>
  readonly numeric?: readonly string[]
}

const hospitals = { table: 'hospital', key: { code: 'text' } } as const satisfies DictionarySpec
const feeds = {
  table: 'feed',
  key: { name: 'text', hospital_id: 'int4', environment: 'text' },
} as const satisfies DictionarySpec
const sourceSystems = {
  table: 'source_system',
  key: { hospital_id: 'int4', code: 'text' },
} as const satisfies DictionarySpec
const panels = { table: 'panel', key: { hospital_id: 'int4', key: 'text' } } as const satisfies DictionarySpec
const localCodes = {
  table: 'local_code',
  key: { source_system_id: 'int4', system: 'text', code: 'text' },
} as const satisfies DictionarySpec
const unifiedItems = { table: 'unified_item', key: { item_id: 'text' } } as const satisfies DictionarySpec
const resultForms = {
  table: 'result_form',
  key: { local_code_id: 'int4', digest: 'uuid' },
  rest: {
    unified_item_id: 'int4',
    text: 'text',
    alt_code: 'text',
    alt_text: 'text',
    alt_system: 'text',
    value_type: 'text',
    unit: 'text',
    range: 'text',
    kind: 'text',
    ucum: 'text',
    range_low: 'text',
    range_high: 'text',
    range_text: 'text',
  },
  numeric: ['range_low', 'range_high'],
} as const satisfies DictionarySpec

/** One dictionary: what was met and has no id yet is gathered, then resolved together. */
class Dictionary {
  private ids = new Map<string, number>()
  private readonly missing = new Map<string, readonly ColumnValue[]>()
  private resolving: Promise<void> = Promise.resolve()

  constructor(private readonly spec: DictionarySpec) {}

  /** The id, or undefined: then it is gathered and known after `resolve`. `values` are key then rest. */
  id(name: string, values: () => readonly ColumnValue[]): number | undefined {
    const id = this.ids.get(name)
    if (id === undefined && !this.missing.has(name)) this.missing.set(name, values())
    return id
  }

  get isResolved(): boolean {
    return this.missing.size === 0
  }

  /** One at a time, for writers of one process share the dictionary: whoever waits finds the entries of the other. */
  resolve(db: Database): Promise<void> {
    const resolved = this.resolving.then(() => this.resolveNow(db))
    this.resolving = resolved.catch(() => undefined)
    return resolved
  }

  private async resolveNow(db: Database): Promise<void> {
    if (this.missing.size === 0) return
    const taken = new Map(this.missing)
    const { table, key, rest = {}, numeric = [] } = this.spec
    // Sorted, so that two processes that insert the same entries never wait for each other in a circle.
    const names = [...taken.keys()].sort()
    const types: Record<string, ColumnType> = { ...key, ...rest, place: 'int4' }
    const columns = Object.keys({ ...key, ...rest })
    const batch = (): Buffer[] => {
      const set = new ColumnSet(types, names.length)
      names.forEach((name, place) => set.push([...taken.get(name)!, place]))
      return set.finish()
    }
    const on = Object.keys(key)
      .map((column) => `d."${column}" = i."${column}"`)
      .join(' AND ')
    const find = `SELECT i.place, d.id FROM ${unnest(types, 'i')} JOIN ${table} d ON ${on}`
    const values = columns.map((column) => (numeric.includes(column) ? `i."${column}"::numeric` : `i."${column}"`))
    const add = `INSERT INTO ${table} (${columns.map((column) => `"${column}"`).join(', ')})
      SELECT ${values.join(', ')} FROM ${unnest(types, 'i')}
      WHERE NOT EXISTS (SELECT FROM ${table} d WHERE ${on}) ORDER BY i.place ON CONFLICT DO NOTHING`
    // Two transactions: the second sees what other processes committed while the first waited for them.
    try {
      await db.transaction((tx) => tx.execute(add, batch()))
      const found = await db.transaction((tx) => tx.query<{ place: number; id: number }>(find, batch()))
      if (this.ids.size + found.length > cacheMax) this.ids = new Map()
      for (const { place, id } of found) this.ids.set(names[place]!, id)
    } finally {
      // Also after a failure: who still needs an entry asks for it again.
      for (const name of names) this.missing.delete(name)
    }
  }
}

/**
 * Small integers for what repeats. The in-process cache only holds ids that were read back after their transaction had
 * committed; misses are inserted in transactions of their own, before the one that uses them.
 */
export class Dictionaries {
  private readonly hospitalIds = new Dictionary(hospitals)
  private readonly feedIds = new Dictionary(feeds)
  private readonly sourceSystemIds = new Dictionary(sourceSystems)
  private readonly panelIds = new Dictionary(panels)
  private readonly localCodeIds = new Dictionary(localCodes)
  private readonly unifiedItemIds = new Dictionary(unifiedItems)
  private readonly resultFormIds = new Dictionary(resultForms)

  constructor(private readonly db: Database) {}

  hospital(code: string): number | undefined {
    return this.hospitalIds.id(code, () => [code])
  }

  feed(name: string, hospitalId: number, environment: string): number | undefined {
    return this.feedIds.id(`${hospitalId}\x1f${environment}\x1f${name}`, () => [name, hospitalId, environment])
  }

  sourceSystem(hospitalId: number, code: string): number | undefined {
    return this.sourceSystemIds.id(`${hospitalId}\x1f${code}`, () => [hospitalId, code])
  }

  panel(hospitalId: number, key: string): number | undefined {
    return this.panelIds.id(`${hospitalId}\x1f${key}`, () => [hospitalId, key])
  }

  localCode(sourceSystemId: number, system: string | null, code: string): number | undefined {
    return this.localCodeIds.id(`${sourceSystemId}\x1f${system ?? ''}\x1f${code}`, () => [
      sourceSystemId,
      system ?? '',
      code,
    ])
  }

  unifiedItem(itemId: string): number | undefined {
    return this.unifiedItemIds.id(itemId, () => [itemId])
  }

  resultForm(form: ResultForm): number | undefined {
    const { localCodeId, unifiedItemId } = form
    const name = `${localCodeId}\x1f${unifiedItemId ?? ''}\x1f${nameOf(form)}`
    return this.resultFormIds.id(name, () => {
      const digest = createHash('sha256')
        .update(`${unifiedItemId ?? ''}\x1f${nameOf(form)}`)
        .digest()
      return [
        localCodeId,
        digest.subarray(0, 16),
        unifiedItemId,
        form.text,
        form.altCode,
        form.altText,
        form.altSystem,
        form.valueType,
        form.unit,
        form.range,
        form.kind,
        form.ucum,
        form.rangeLow,
        form.rangeHigh,
        form.rangeText,
      ]
    })
  }

  /** Whether every id asked for since the last `resolve` was known. */
  get isResolved(): boolean {
    return this.all().every((dictionary) => dictionary.isResolved)
  }

  /** Gives ids to everything met without one. */
  async resolve(): Promise<void> {
    for (const dictionary of this.all()) await dictionary.resolve(this.db)
  }

  private all(): readonly Dictionary[] {
    return [
      this.hospitalIds,
      this.feedIds,
      this.sourceSystemIds,
      this.panelIds,
      this.localCodeIds,
      this.unifiedItemIds,
      this.resultFormIds,
    ]
  }
}

/** Null and empty text differ. */
function nameOf(form: ResultForm): string {
  return `${part(form.text)}${part(form.altCode)}${part(form.altText)}${part(form.altSystem)}${part(form.valueType)}${part(form.unit)}${part(form.range)}${part(form.kind)}${part(form.ucum)}${part(form.rangeLow)}${part(form.rangeHigh)}${part(form.rangeText)}`
}

const part = (text: string | null): string => (text === null ? '\x1e' : `${text}\x1f`)
