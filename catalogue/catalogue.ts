import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UsageError } from '../core/errors.js'
import { foldText } from './fold.js'
import { isLoinc, readItems, type CatalogueItem } from './items.js'
import { formatProblems, readMappings, type LocalMapping } from './mappings.js'
import { readRange, type RangeReading } from './ranges.js'
import { readTsv, type FileProblem } from './tsv.js'
import { readMetricUnit } from './ucum.js'
import { UnitSpellings, type UnitSpelling } from './unit-spellings.js'
import { planUnit, type UnitPlan } from './units.js'

/** Coding system (OBX-3.3) under which a sender may use our item ids directly. */
export const catalogueCodingSystem = 'HUTONG'

/** A code as a sender states it. */
export interface LocalCode {
  readonly code: string | null
  readonly text: string | null
  /** Coding system, for example L, LN, 99ABC. */
  readonly system: string | null
}

/** What a code means, and how we know. */
export interface ItemMatch {
  readonly item: CatalogueItem | null
  readonly via: 'mapping' | 'item-id' | 'loinc' | 'none'
  /** The code is mapped, but for another name than the one sent. */
  readonly textDiffers: boolean
  /** How a spelling of a unit is to be read under this code; the same plan for the same spelling. */
  unitPlan(spelling: string | null): UnitPlan
  /** As `readRange`; the ranges of a code are few, so that they are read once. */
  range(range: string, sexCode: string | null): RangeReading
}

/** Look-ups of one source system of one hospital. */
export interface CodeScope {
  /**
   * What a code with its alternate means: the hospital's mapping of the code, else the code itself where it is ours or
   * LOINC, else the same for the alternate. Never by similarity of names.
   */
  match(primary: LocalCode, alternate?: LocalCode): ItemMatch
}

/** An immutable snapshot of unified items, unit spellings and local-code mappings. */
export interface Catalogue {
  /** Of unified-items.tsv. */
  readonly version: string
  /** SHA-256 over everything that decides a look-up: equal digests, equal answers. */
  readonly sha256: string
  readonly items: ReadonlyMap<string, CatalogueItem>
  readonly mappings: readonly LocalMapping[]
  readonly units: UnitSpellings
  scope(hospital: string, sourceSystem: string): CodeScope
  /** One look-up; for many of one hospital, keep the scope. */
  itemFor(hospital: string, sourceSystem: string, code: string, text?: string, system?: string): CatalogueItem | null
}

/** The text of a data file under a name for messages. */
export interface NamedText {
  readonly name: string
  readonly text: string
}

export interface CatalogueTexts {
  readonly items: NamedText
  readonly units: NamedText
  readonly loincAlternates: NamedText
  readonly mappings: readonly NamedText[]
}

/** Mapping files of the demonstration hospitals H001, H002 and H003. */
export const demoMappingFiles: readonly string[] = ['h001', 'h002', 'h003'].map((hospital) =>
  dataFile(`mappings/demo-${hospital}.tsv`),
)

/**
 * The catalogue that ships with the product, with the given mapping files (docs/mappings.md).
 * @throws UsageError that names every problem of every file with its line
 */
export function loadCatalogue(
  options: {
    readonly mappingFiles?: readonly string[]
    /** What names the files, for a file that cannot be read (default catalogue.mappings). */
    readonly setting?: string
  } = {},
): Catalogue {
  const read = (path: string): NamedText => ({ name: basename(path), text: readFileSync(path, 'utf8') })
  const mappings = (options.mappingFiles ?? []).map((path) => {
    try {
      return { name: path, text: readFileSync(path, 'utf8') }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new UsageError(`${options.setting ?? 'catalogue.mappings'}: cannot read ${path}: ${code}`, { cause: error })
    }
  })
  return buildCatalogue({
    items: read(dataFile('unified-items.tsv')),
    units: read(dataFile('units.tsv')),
    loincAlternates: read(dataFile('loinc-alternates.tsv')),
    mappings,
  })
}

/** @throws UsageError that names every problem of every file with its line */
export function buildCatalogue(texts: CatalogueTexts): Catalogue {
  const { items, version, problems: itemProblems } = readItems(texts.items.name, texts.items.text)
  const units = readUnitSpellings(texts.units)
  const alternates = readLoincAlternates(texts.loincAlternates, items)
  const mappings = texts.mappings.map(({ name, text }) => readMappings(name, text, items))
  const problems = [
    ...itemProblems,
    ...units.problems,
    ...alternates.problems,
    ...mappings.flatMap((read) => read.problems),
    ...crossFileDuplicates(mappings.flatMap((read) => read.mappings)),
  ]
  if (problems.length > 0) throw new UsageError(`the catalogue has problems:\n${formatProblems(problems)}`)
  return new CatalogueSnapshot(
    version,
    digest(texts),
    items,
    mappings.flatMap((read) => read.mappings),
    new UnitSpellings(units.spellings),
    alternates.loinc,
  )
}

/** What is wrong with mapping files, all at once; nothing is thrown. */
export function lintMappings(files: readonly NamedText[]): readonly FileProblem[] {
  const path = dataFile('unified-items.tsv')
  const { items } = readItems(basename(path), readFileSync(path, 'utf8'))
  const read = files.map(({ name, text }) => readMappings(name, text, items))
  return [...read.flatMap(({ problems }) => problems), ...crossFileDuplicates(read.flatMap(({ mappings }) => mappings))]
}

interface LoincMeaning {
  readonly item: CatalogueItem
  readonly unit: string | null
}

// Bound the memory that senders with ever new spellings could take; reading again gives the same.
const plansMax = 128
const rangesMax = 128
const scopesMax = 4096

class Match implements ItemMatch {
  readonly #plans = new Map<string, UnitPlan>()
  readonly #ranges = {
    male: new Map<string, RangeReading>(),
    female: new Map<string, RangeReading>(),
    other: new Map<string, RangeReading>(),
  }

  constructor(
    private readonly units: UnitSpellings,
    readonly item: CatalogueItem | null,
    readonly via: ItemMatch['via'],
    readonly textDiffers: boolean,
    private readonly override: string | null,
    private readonly loincUnit: string | null,
  ) {}

  unitPlan(spelling: string | null): UnitPlan {
    const key = spelling ?? ''
    let plan = this.#plans.get(key)
    if (plan === undefined) {
      plan = planUnit(this.units, key, { item: this.item, override: this.override, loincUnit: this.loincUnit })
      if (this.#plans.size >= plansMax) this.#plans.clear()
      this.#plans.set(key, plan)
    }
    return plan
  }

  range(range: string, sexCode: string | null): RangeReading {
    const ranges = sexCode === '1' ? this.#ranges.male : sexCode === '2' ? this.#ranges.female : this.#ranges.other
    let reading = ranges.get(range)
    if (reading === undefined) {
      reading = readRange(range, sexCode)
      if (ranges.size >= rangesMax) ranges.clear()
      ranges.set(range, reading)
    }
    return reading
  }
}

interface MappedCode {
  readonly text: string | null
  readonly match: Match
}

class CatalogueSnapshot implements Catalogue {
  readonly #byId = new Map<string, Match>()
  readonly #byLoinc = new Map<string, Match>()
  readonly #mapped = new Map<string, Map<string, MappedCode[]>>()
  readonly #scopes = new Map<string, CodeScope>()
  readonly #unknown: Match
  readonly #renamed: Match

  constructor(
    readonly version: string,
    readonly sha256: string,
    readonly items: ReadonlyMap<string, CatalogueItem>,
    readonly mappings: readonly LocalMapping[],
    readonly units: UnitSpellings,
    loinc: ReadonlyMap<string, LoincMeaning>,
  ) {
    this.#unknown = new Match(units, null, 'none', false, null, null)
    this.#renamed = new Match(units, null, 'none', true, null, null)
    for (const item of items.values()) this.#byId.set(item.id, new Match(units, item, 'item-id', false, null, null))
    for (const [code, { item, unit }] of loinc)
      this.#byLoinc.set(code, new Match(units, item, 'loinc', false, null, unit))
    for (const mapping of mappings) this.#add(mapping)
  }

  scope(hospital: string, sourceSystem: string): CodeScope {
    const key = `${hospital}\x1f${sourceSystem}`
    let scope = this.#scopes.get(key)
    if (scope === undefined) {
      const own = this.#mapped.get(key)
      const everywhere = this.#mapped.get(`${hospital}\x1f*`)
      scope = { match: (primary, alternate) => this.#match([own, everywhere], primary, alternate) }
      if (this.#scopes.size >= scopesMax) this.#scopes.clear()
      this.#scopes.set(key, scope)
    }
    return scope
  }

  itemFor(hospital: string, sourceSystem: string, code: string, text?: string, system?: string): CatalogueItem | null {
    return this.scope(hospital, sourceSystem).match({ code, text: text ?? null, system: system ?? null }).item
  }

  #add(mapping: LocalMapping): void {
    const item = this.items.get(mapping.itemId) ?? null
    const scopeKey = `${mapping.hospital}\x1f${mapping.sourceSystem}`
    const codes = this.#mapped.get(scopeKey) ?? new Map<string, MappedCode[]>()
    this.#mapped.set(scopeKey, codes)
    const rows = codes.get(mapping.code) ?? []
    codes.set(mapping.code, rows)
    const text = mapping.text === null ? null : foldText(mapping.text)
    rows.push({ text, match: new Match(this.units, item, 'mapping', false, mapping.unit, null) })
    // A row with a name is the narrower one and is asked first.
    rows.sort((a, b) => Number(a.text === null) - Number(b.text === null))
  }

  #match(maps: readonly (Map<string, MappedCode[]> | undefined)[], primary: LocalCode, alternate?: LocalCode): Match {
    const first = this.#matchOne(maps, primary)
    if (first.item !== null || alternate === undefined || alternate.code === null) return first
    const second = this.#matchOne(maps, alternate)
    return second.item !== null || second.textDiffers ? second : first
  }

  #matchOne(maps: readonly (Map<string, MappedCode[]> | undefined)[], { code, text, system }: LocalCode): Match {
    if (code === null || code === '') return this.#unknown
    let renamed = false
    for (const map of maps) {
      const rows = map?.get(code)
      if (rows === undefined) continue
      for (const row of rows) if (row.text === null || (text !== null && row.text === foldText(text))) return row.match
      renamed = true
    }
    if (renamed) return this.#renamed
    if (system === catalogueCodingSystem) return this.#byId.get(code) ?? this.#unknown
    if (system === 'LN') return this.#byLoinc.get(code) ?? this.#unknown
    return this.#unknown
  }
}

function readUnitSpellings({ name, text }: NamedText): {
  spellings: readonly UnitSpelling[]
  problems: readonly FileProblem[]
} {
  const table = readTsv(name, text, ['spelling', 'ucum', 'letters', 'note', 'reviewed'])
  const problems = [...table.problems]
  const spellings = table.rows.map(({ line, cells }): UnitSpelling => {
    const { spelling = '', ucum = '', letters = '' } = cells
    if (letters !== 'exact' && letters !== 'any')
      problems.push({ file: name, line, message: `letters "${letters}" is neither exact nor any` })
    return { spelling, ucum, letters: letters === 'exact' ? 'exact' : 'any' }
  })
  return { spellings, problems }
}

function readLoincAlternates(
  { name, text }: NamedText,
  items: ReadonlyMap<string, CatalogueItem>,
): { loinc: ReadonlyMap<string, LoincMeaning>; problems: readonly FileProblem[] } {
  const table = readTsv(name, text, ['loinc', 'item_id', 'unit'], ['note'])
  const problems = [...table.problems]
  const loinc = new Map<string, LoincMeaning>()
  for (const item of items.values()) if (item.loinc !== null) loinc.set(item.loinc, { item, unit: item.ucum })
  for (const { line, cells } of table.rows) {
    const { loinc: code = '', item_id: id = '', unit = '' } = cells
    const item = items.get(id)
    if (!isLoinc(code)) problems.push({ file: name, line, message: `LOINC ${code} fails its check digit` })
    if (loinc.has(code)) problems.push({ file: name, line, message: `LOINC ${code} already has a meaning` })
    if (item === undefined) problems.push({ file: name, line, message: `item_id "${id}" is not in the catalogue` })
    else loinc.set(code, { item, unit })
    if (readMetricUnit(unit) === null) problems.push({ file: name, line, message: `unit "${unit}" cannot be read` })
  }
  return { loinc, problems }
}

function crossFileDuplicates(mappings: readonly LocalMapping[]): FileProblem[] {
  const seen = new Map<string, LocalMapping>()
  const problems: FileProblem[] = []
  for (const mapping of mappings) {
    const { hospital, sourceSystem, code, text, file, line } = mapping
    const key = [hospital, sourceSystem, code, foldText(text ?? '')].join('\x1f')
    const other = seen.get(key)
    if (other !== undefined && other.file !== file)
      problems.push({
        file,
        line,
        message: `code ${code} of ${hospital} is already mapped in ${other.file}:${other.line}`,
      })
    seen.set(key, other ?? mapping)
  }
  return problems
}

function digest({ items, units, loincAlternates, mappings }: CatalogueTexts): string {
  const hash = createHash('sha256')
  // The order in which mapping files are named decides nothing, so it does not enter.
  const texts = [items.text, units.text, loincAlternates.text, ...mappings.map(({ text }) => text).sort()]
  for (const text of texts)
    hash
      .update(String(Buffer.byteLength(text)))
      .update('\x1f')
      .update(text)
  return hash.digest('hex')
}

function dataFile(name: string): string {
  return fileURLToPath(new URL(`./data/${name}`, import.meta.url))
}
