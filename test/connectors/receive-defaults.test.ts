import { describe, expect, test } from 'vitest'
import { astmReceiveOptions, astmSettings } from '../../connectors/astm-lis2/config.js'
import { filesReceiveOptions, filesSettings } from '../../connectors/files/config.js'
import { mllpReceiveOptions, mllpSettings } from '../../connectors/hl7v2-mllp/config.js'

const stated = (options: Record<string, { default?: unknown; description?: string }>) =>
  Object.fromEntries(
    Object.entries(options).flatMap(([name, o]) => (o.default === undefined ? [] : [[name, o.default]])),
  )

describe('configuration', () => {
  test('the defaults that are used are the ones the options state', () => {
    expect(mllpSettings({})).toEqual(stated(mllpReceiveOptions))
    expect(astmSettings({ port: 1 })).toEqual({ ...stated(astmReceiveOptions), port: 1 })
    expect(filesSettings({ folder: '/in/' }, ['*.hl7'])).toEqual({
      ...stated(filesReceiveOptions(['*.hl7'])),
      folder: '/in/',
      archiveFolder: '/in/archive',
      errorFolder: '/in/error',
      stateFolder: '/in/.hutong',
    })
  })

  test('every option is described, with its default', () => {
    for (const [name, option] of Object.entries({
      ...astmReceiveOptions,
      ...mllpReceiveOptions,
      ...filesReceiveOptions(['*.hl7']),
    })) {
      expect(option.description, name).toBeTruthy()
      if (name !== 'folder') expect(option.description, name).toMatch(/Default|default/)
    }
  })

  test('memory for incomplete messages holds two of the largest', () => {
    expect(mllpSettings({ maxMessageBytes: 1000, maxHeldBytes: 1 }).maxHeldBytes).toBe(2000)
  })
})
