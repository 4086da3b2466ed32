import { describe, expect, test } from 'vitest'
import { UsageError } from '../../core/errors.js'
import { inspect } from '../../connectors/hl7v2/inspect.js'
import { bytesOf } from '../fixtures/gb18030/cases.js'

const lines = (bytes: Buffer, charset?: string) => [...inspect('a.hl7', bytes, charset)]

describe('inspect', () => {
  test('gives every message of a file in the fixed form', () => {
    const file = bytesOf(
      'MSH|^~\\&|LIS|H1|||1||ORU^R01^ORU_R01|M1|P|2.4||||||{0D}PID|1||P1||{C0EEAB7C}|{0D}OBX|1|ST|A^{D1AA}||{D2F5D0D4}\\T\\|{0D0A}' +
        'MSH|^~\\&{0D}MSH|&&&&|x{0D}',
    )
    expect(lines(file, 'gbk')).toEqual([
      {
        file: 'a.hl7',
        index: 1,
        controlId: 'M1',
        type: 'ORU^R01^ORU_R01',
        charset: 'gb18030',
        flags: [],
        segments: [
          {
            name: 'MSH',
            fields: [
              '|',
              '^~\\&',
              'LIS',
              'H1',
              '',
              '',
              '1',
              '',
              'ORU^R01^ORU_R01',
              'M1',
              'P',
              '2.4',
              '',
              '',
              '',
              '',
              '',
              '',
            ],
          },
          { name: 'PID', fields: ['1', '', 'P1', '', '李珅', ''] },
          { name: 'OBX', fields: ['1', 'ST', 'A^血', '', '阴性\\T\\', ''] },
        ],
      },
      {
        file: 'a.hl7',
        index: 2,
        controlId: '',
        type: '',
        charset: 'gb18030',
        flags: ['message-type-missing', 'control-id-missing'],
        segments: [{ name: 'MSH', fields: ['|', '^~\\&'] }],
      },
      {
        file: 'a.hl7',
        index: 3,
        error: {
          code: 'hl7-bad-delimiters',
          message: "MSH-1 or MSH-2 does not declare usable delimiters: MSH-2 uses '&' for two things",
          segment: 'MSH[1]',
          field: 'MSH-2',
        },
      },
    ])
  })

  test('a file without a message is an error, an empty batch is not', () => {
    expect(lines(Buffer.from('nothing here'))).toEqual([
      { file: 'a.hl7', index: 1, error: expect.objectContaining({ code: 'hl7-no-msh' }) as unknown },
    ])
    expect(lines(Buffer.from('BHS|^~\\&|A\rBTS|0\r'))).toEqual([])
  })

  test('a charset nobody knows is the user’s mistake', () => {
    expect(() => lines(Buffer.from('MSH|^~\\&|A'), 'gb-18031')).toThrowError(UsageError)
  })
})
