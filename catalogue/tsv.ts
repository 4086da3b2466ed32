/** One problem in a data file: where, what, and the nearest valid name where one is near. */
export interface FileProblem {
  readonly file: string
  /** From 1; 0 for the file as a whole. */
  readonly line: number
  readonly message: string
  readonly nearest?: string
}

export interface TsvRow {
  /** From 1, in the file. */
  readonly line: number
  /** By column name, trimmed; empty where absent. */
  readonly cells: Readonly<Record<string, string>>
}

export interface TsvTable {
  /** `# key: value` comment lines at the head. */
  readonly properties: Readonly<Record<string, string>>
  readonly rows: readonly TsvRow[]
  readonly problems: readonly FileProblem[]
}

/**
 * Reads tab-separated text: UTF-8 with or without BOM, any line end, `#` lines are comments, the first other line names
 * the columns. Columns may stand in any order; a missing required one, an unknown one and a long row are problems.
 */
export function readTsv(
  file: string,
  text: string,
  required: readonly string[],
  optional: readonly string[] = [],
): TsvTable {
  const properties: Record<string, string> = {}
  const rows: TsvRow[] = []
  const problems: FileProblem[] = []
  let columns: string[] | null = null
  for (const [index, raw] of text
    .replace(/^\ufeff/, '')
    .split(/\r\n|\n|\r/)
    .entries()) {
    const line = index + 1
    if (raw.startsWith('#')) {
      const property = /^#\s*([a-z][a-z_ ]*):\s*(.*)$/.exec(raw)
      if (property !== null && columns === null) properties[property[1] ?? ''] = (property[2] ?? '').trim()
      continue
    }
    if (raw.trim() === '') continue
    const cells = raw.split('\t').map((cell) => cell.trim())
    if (columns === null) {
      columns = cells
      const known = [...required, ...optional]
      for (const name of required)
        if (!cells.includes(name)) problems.push({ file, line, message: `column "${name}" is missing` })
      for (const name of cells)
        if (!known.includes(name))
          problems.push({ file, line, message: `unknown column "${name}"; columns are ${known.join(', ')}` })
      continue
    }
    const names: readonly string[] = columns
    if (cells.length > names.length)
      problems.push({ file, line, message: `${cells.length} cells, but only ${names.length} columns` })
    rows.push({ line, cells: Object.fromEntries(names.map((name, column) => [name, cells[column] ?? ''])) })
  }
  if (columns === null) problems.push({ file, line: 0, message: 'no line with column names' })
  return { properties, rows, problems }
}
