import type { EdgeReport } from '../../../core/fleet-report.js'

/** A report of an edge at which all is well, but for what is said. */
export const reportOf = (more: Partial<EdgeReport>): EdgeReport => ({
  format: 1,
  at: 1_700_000_000_000,
  environment: 'test',
  version: '1.0.0',
  supervisorVersion: '1.0.0',
  configuration: 'a'.repeat(64),
  packageNumber: null,
  configurationNumber: null,
  trial: null,
  fetching: null,
  outcomes: [],
  ready: true,
  notReady: [],
  crashes: 0,
  spool: { messages: 0, bytes: 0, oldestSeconds: 0, accepting: true },
  disk: { freeBytes: 50e9, totalBytes: 100e9 },
  clockSkewMs: 0,
  certificateUntil: 1_800_000_000_000,
  uplinkAccepted: true,
  feeds: [{ name: 'lis', listening: true, lastAcceptedAt: null }],
  ...more,
})
