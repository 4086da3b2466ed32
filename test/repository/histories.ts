import type { LabReport } from '../../schemas/types.js'
import type { SinkEvent } from '../../repository/sink-event.js'
import * as make from './events.js'

/** Events of one hospital in ledger order; `hospital` keeps histories apart in one database. */
export type History = (hospital: string) => readonly SinkEvent[]

const at = (minutes: number): number => make.morning + minutes * make.minute

interface Statement {
  readonly status: string
  /** Minutes after morning. */
  readonly recorded: number
  readonly message?: number
  readonly value?: string
  /** Items and their status where it differs. */
  readonly items?: Readonly<Record<string, string>>
  readonly snapshot?: boolean
  readonly patient?: string
  readonly allowMove?: boolean
  readonly derivation?: number
  readonly panels?: readonly string[]
  readonly number?: string
}

/** A lab report as a LIS sends it: every statement is one message of the feed. */
export function labHistory(...statements: readonly Statement[]): History {
  return (hospital) =>
    statements.map((stated, index) => {
      const items = stated.items ?? { WBC: stated.status }
      const panels = stated.panels ?? ['XCG']
      const recordedAt = at(stated.recorded)
      const report: Partial<LabReport> = {
        envelope: make.envelope({ hospital, seq: index + 1, derivation: stated.derivation ?? 1 }),
        reportNumber: stated.number ?? 'R0001',
        status: stated.status,
        snapshot: stated.snapshot ?? false,
        allowMove: stated.allowMove ?? false,
        recordedAt,
        messageTime: at(stated.message ?? stated.recorded + 1),
        patient: make.patient({
          id: stated.patient ?? 'P1',
          name: `姓名${stated.patient ?? 'P1'}${stated.value ?? ''}`,
        }),
        verifier: stated.value ?? null,
        panels: panels.map((code) =>
          make.panel({ code, key: code, recordedAt, status: stated.status, notes: stated.value ?? null }),
        ),
        observations: panels.flatMap((_, panel) =>
          Object.entries(items).map(([code, status]) =>
            make.observation({ panel, code, status, value: stated.value ?? '5.0', notes: `${panel}` }),
          ),
        ),
      }
      return make.lab(make.labReport(report))
    })
}

/** A few events each, so that all their orders can be tried. */
export const shortHistories: Readonly<Record<string, History>> = {
  'preliminary, final, corrected, withdrawn, deleted': labHistory(
    { status: 'P', recorded: 0, value: '1' },
    { status: 'F', recorded: 10, value: '2' },
    { status: 'C', recorded: 20, value: '3' },
    { status: 'W', recorded: 30, value: '3' },
    { status: 'D', recorded: 40, value: '3' },
  ),
  'final, withdrawn and final again': labHistory(
    { status: 'F', recorded: 0, value: '1' },
    { status: 'W', recorded: 10, value: '1' },
    { status: 'F', recorded: 20, value: '2' },
    { status: 'F', recorded: 20, value: '2' },
  ),
  'a preliminary stamped later than the final, a correction stamped earlier': labHistory(
    { status: 'F', recorded: 10, value: '1' },
    { status: 'P', recorded: 50, value: '2' },
    { status: 'C', recorded: 5, value: '3' },
    { status: 'C', recorded: 10, message: 11, value: '4' },
  ),
  'ties that only the content tells apart': labHistory(
    { status: 'F', recorded: 0, value: '1' },
    { status: 'F', recorded: 0, value: '2' },
    { status: 'F', recorded: 0, value: '3' },
    { status: 'F', recorded: 0, value: '2' },
  ),
  'the same message three times, and an older one': labHistory(
    { status: 'F', recorded: 10, value: '1' },
    { status: 'F', recorded: 10, value: '1' },
    { status: 'F', recorded: 10, value: '1' },
    { status: 'F', recorded: 0, value: '0' },
  ),
  'partial messages of one report': labHistory(
    { status: 'F', recorded: 0, items: { WBC: 'F', RBC: 'F' }, value: '1' },
    { status: 'F', recorded: 10, items: { RBC: 'C', PLT: 'F' }, value: '2' },
    { status: 'F', recorded: 5, items: { WBC: 'P', HGB: 'F' }, value: '3' },
    { status: 'C', recorded: 20, items: { WBC: 'D' }, value: '4' },
  ),
  'order groups that come apart': labHistory(
    { status: 'F', recorded: 0, panels: ['XCG', 'CRP'], value: '1' },
    { status: 'P', recorded: 10, panels: ['CRP'], value: '2' },
    { status: 'C', recorded: 20, panels: ['XCG', 'ESR'], value: '3' },
    { status: 'F', recorded: 15, panels: ['CRP'], value: '4' },
  ),
  'snapshots that leave items out': labHistory(
    { status: 'F', recorded: 0, snapshot: true, items: { WBC: 'F', RBC: 'F', PLT: 'F' }, value: '1' },
    { status: 'F', recorded: 10, snapshot: true, items: { WBC: 'F', PLT: 'C' }, value: '2' },
    { status: 'P', recorded: 20, snapshot: true, items: { RBC: 'P' }, value: '3' },
    { status: 'C', recorded: 15, snapshot: true, items: { PLT: 'F', RBC: 'P' }, value: '4' },
  ),
  'a snapshot after partial messages': labHistory(
    { status: 'F', recorded: 0, items: { WBC: 'F' }, value: '1' },
    { status: 'F', recorded: 5, items: { RBC: 'F' }, value: '2' },
    { status: 'F', recorded: 10, snapshot: true, items: { RBC: 'F' }, value: '3' },
    { status: 'F', recorded: 20, items: { HGB: 'F' }, value: '4' },
  ),
  'a correction across midnight of a month': labHistory(
    { status: 'P', recorded: 0, value: '1' },
    { status: 'F', recorded: 31 * 24 * 60, value: '2' },
    { status: 'C', recorded: 62 * 24 * 60, value: '3' },
    { status: 'C', recorded: -40 * 24 * 60, value: '4' },
  ),
  'three patients claim one number': labHistory(
    { status: 'F', recorded: 10, patient: 'P1', value: '1' },
    { status: 'F', recorded: 0, patient: 'P2', value: '2' },
    { status: 'C', recorded: 20, patient: 'P1', value: '3' },
    { status: 'F', recorded: 5, patient: 'P3', value: '4' },
    { status: 'P', recorded: 10, patient: 'P2', value: '5' },
  ),
  'two patients claim one number at the same moment': labHistory(
    { status: 'F', recorded: 0, patient: 'P2', value: '1' },
    { status: 'F', recorded: 0, patient: 'P1', value: '2' },
    { status: 'P', recorded: 1, patient: 'P2', value: '3' },
  ),
  'a report that moves from patient to patient': labHistory(
    { status: 'F', recorded: 0, patient: 'P1', allowMove: true, value: '1' },
    { status: 'C', recorded: 10, patient: 'P2', allowMove: true, value: '2' },
    { status: 'F', recorded: 5, patient: 'P1', allowMove: true, value: '3' },
    { status: 'C', recorded: 20, patient: 'P1', allowMove: true, value: '4' },
  ),
  'moving is allowed by one of them only': labHistory(
    { status: 'F', recorded: 0, patient: 'P1', value: '1' },
    { status: 'C', recorded: 10, patient: 'P2', allowMove: true, value: '2' },
    { status: 'F', recorded: 5, patient: 'P3', value: '3' },
  ),
  'derivations of one message and its successor': labHistory(
    { status: 'F', recorded: 0, value: '1', derivation: 1 },
    { status: 'F', recorded: 0, value: '1', derivation: 3 },
    { status: 'F', recorded: 0, value: '1', derivation: 2 },
    { status: 'C', recorded: 10, value: '2', derivation: 1 },
  ),
  'what ADT states and what results carry': (hospital) => [
    ...labHistory(
      { status: 'F', recorded: 60, value: 'late' },
      { status: 'F', recorded: 0, value: 'early', number: 'R2' },
    )(hospital),
    make.adt(
      make.patientEvent({
        envelope: make.envelope({ hospital, feed: 'his-a', seq: 1 }),
        patient: make.patient({ id: 'P1', name: '登记名', identifiers: [{ assigner: 'GA', type: 'NI', value: '11' }] }),
        recordedAt: at(10),
      }),
    ),
    make.adt(
      make.patientEvent({
        envelope: make.envelope({ hospital, feed: 'his-a', seq: 2 }),
        patient: make.patient({ id: 'P1', name: '更正名', identifiers: [{ assigner: 'GA', type: 'NI', value: '12' }] }),
        recordedAt: at(20),
      }),
    ),
  ],
  'merges, an unknown patient, a visit and an order': (hospital) => {
    const envelope = (seq: number): ReturnType<typeof make.envelope> => make.envelope({ hospital, feed: 'his-a', seq })
    const survivor = make.patient({ id: 'P9', name: '保留' })
    return [
      ...labHistory({ status: 'F', recorded: 0, patient: 'P1' })(hospital),
      make.adt(
        make.patientEvent({
          envelope: envelope(1),
          action: 'merge',
          patient: survivor,
          priorId: 'P1',
          recordedAt: at(5),
        }),
      ),
      make.adt(
        make.patientEvent({
          envelope: envelope(2),
          action: 'merge',
          patient: make.patient({ id: 'P8', name: '另一' }),
          priorId: 'P1',
          recordedAt: at(9),
        }),
      ),
      make.visit(
        make.encounterEvent({ envelope: envelope(3), patient: survivor, status: 'discharged', recordedAt: at(30) }),
      ),
      make.visit(
        make.encounterEvent({ envelope: envelope(4), patient: make.patient({ id: 'P1' }), recordedAt: at(0) }),
      ),
    ]
  },
  'an order is placed, changed and cancelled': (hospital) => {
    const envelope = (seq: number): ReturnType<typeof make.envelope> => make.envelope({ hospital, feed: 'his-a', seq })
    return [
      make.order(make.orderEvent({ envelope: envelope(1), recordedAt: at(0) })),
      make.order(make.orderEvent({ envelope: envelope(2), control: 'XO', recordedAt: at(5), itemText: '血常规+CRP' })),
      make.order(make.orderEvent({ envelope: envelope(3), control: 'CA', recordedAt: at(5) })),
      make.order(make.orderEvent({ envelope: envelope(4), recordedAt: at(0) })),
    ]
  },
  'an imaging report with its parts': (hospital) => {
    const stated = (seq: number, status: string, recorded: number, text: string): SinkEvent =>
      make.imaging(
        make.imagingReport({
          envelope: make.envelope({ hospital, feed: 'ris-a', seq }),
          status,
          recordedAt: at(recorded),
          messageTime: at(recorded + 1),
          sections: [{ kind: 'findings', code: null, title: null, text, status }],
          documents: [
            {
              segment: 'OBX[3]',
              field: 'OBX-5',
              repetition: 1,
              mediaType: 'application/pdf',
              encoding: 'Base64',
              size: 100 + seq,
              sha256: `${seq}`.repeat(64),
              title: null,
              flags: [],
            },
          ],
        }),
      )
    return [
      stated(1, 'P', 0, '初步'),
      stated(2, 'F', 10, '双肺未见异常'),
      stated(3, 'C', 20, '右肺结节'),
      stated(4, 'P', 30, '迟到的初步'),
    ]
  },
}
