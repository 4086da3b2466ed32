import type { Database } from './database.js'

const columnsSql = `SELECT c.relname AS name, c.relkind::text AS kind, pg_get_partkeydef(c.oid) AS partitioned,
  (SELECT array_to_string(array_agg(o ORDER BY o), ', ') FROM unnest(c.reloptions) o) AS options,
  (SELECT string_agg('  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attidentity <> '' THEN ' identity' ELSE '' END
    || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''), E'\\n' ORDER BY a.attnum)
   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  AND NOT c.relispartition`

const indexesSql = `SELECT t.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition`

const checksSql = `SELECT t.relname AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
WHERE t.relnamespace = 'public'::regnamespace AND k.contype IN ('c', 'f') AND NOT t.relispartition`

const defaultsSql = `SELECT p.relname AS name, c.relname AS definition FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE c.relkind = 'r' AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'`

const kinds: Readonly<Record<string, string>> = { r: 'table', p: 'table', v: 'view', S: 'sequence' }

/** The schema as the catalogs tell it, monthly partitions apart; the same text on every engine and version. */
export async function dumpSchema(db: Database): Promise<string> {
  interface Relation {
    readonly name: string
    readonly kind: string
    readonly partitioned: string | null
    readonly options: string | null
    readonly columns: string | null
  }
  interface Part {
    readonly name: string
    readonly definition: string
  }
  const [relations, indexes, checks, defaults] = await db.transaction(async (tx) => [
    await tx.query<Relation>(columnsSql),
    await tx.query<Part>(indexesSql),
    await tx.query<Part>(checksSql),
    await tx.query<Part>(defaultsSql),
  ])
  const of = (parts: readonly Part[], name: string): string[] =>
    parts
      .filter((part) => part.name === name)
      .map(({ definition }) => `  ${definition.replaceAll('public.', '')}`)
      .sort()
  const byName = relations.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const blocks = byName.map(({ name, kind, partitioned, options, columns }) => {
    const extras = [
      partitioned === null ? '' : ` partition by ${partitioned}`,
      options === null ? '' : ` with (${options})`,
    ]
    return [
      `${kinds[kind]} ${name}${extras.join('')}`,
      ...(columns === null || kind === 'S' ? [] : [columns]),
      ...of(checks, name),
      ...of(indexes, name),
      ...of(defaults, name).map((line) => `  default partition ${line.trim()}`),
    ].join('\n')
  })
  return `${blocks.join('\n\n')}\n`
}
