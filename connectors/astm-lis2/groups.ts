import type { AstmRecord } from './records.js'

/** A record with the comments that follow it. */
export interface Commented {
  readonly record: AstmRecord
  readonly comments: readonly AstmRecord[]
}

/** An order with the results below it; `order` is null for results that follow no O record. */
export interface OrderGroup {
  readonly order: Commented | null
  readonly results: readonly Commented[]
}

export interface PatientGroup {
  readonly patient: AstmRecord | null
  readonly orders: readonly OrderGroup[]
}

interface OpenOrder {
  order: { record: AstmRecord; comments: AstmRecord[] } | null
  results: { record: AstmRecord; comments: AstmRecord[] }[]
}

/**
 * Puts records under each other by their order (LIS2-A2 section 5.3): R belongs to the O before it, O to the P before it,
 * C to whatever stands before it (M and S apart, which the makers define).
 */
export function groupRecords(records: readonly AstmRecord[]): readonly PatientGroup[] {
  const patients: { patient: AstmRecord | null; orders: OpenOrder[] }[] = []
  let comments: AstmRecord[] | undefined
  const patient = () => {
    if (patients.length === 0) patients.push({ patient: null, orders: [] })
    return patients.at(-1)!
  }
  for (const record of records) {
    switch (record.letter) {
      case 'P':
        patients.push({ patient: record, orders: [] })
        comments = undefined
        break
      case 'O': {
        const order = { record, comments: [] }
        patient().orders.push({ order, results: [] })
        comments = order.comments
        break
      }
      case 'R': {
        const { orders } = patient()
        if (orders.length === 0) orders.push({ order: null, results: [] })
        const result = { record, comments: [] }
        orders.at(-1)!.results.push(result)
        comments = result.comments
        break
      }
      case 'C':
        comments?.push(record)
        break
      case 'H':
      case 'Q':
      case 'L':
        comments = undefined
    }
  }
  return patients
}
