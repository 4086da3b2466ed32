#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { readEnvironment } from '../core/environment.js'
import { RetryableError, UsageError } from '../core/errors.js'
import { acceptanceCommand } from './acceptance.js'
import { alertsCommand } from './alerts.js'
import { backfillCommand } from './backfill.js'
import { caCommand } from './ca.js'
import { checkCommand } from './check.js'
import { connectorCommand } from './connector.js'
import { deadLettersCommand } from './dead-letters.js'
import { doctorCommand } from './doctor.js'
import { demoCommand } from './demo.js'
import { edgeCommand } from './edge.js'
import { enrolCommand } from './enrol.js'
import { expectCommand } from './expect.js'
import { fleetCommand } from './fleet.js'
import { inspectCommand } from './inspect.js'
import { reconcileCommand } from './reconcile.js'
import { recordCommand } from './record.js'
import { replayCommand } from './replay.js'
import { runCommand } from './run.js'
import { schemasCommand } from './schemas.js'
import { serviceCommand } from './service.js'
import { superviseCommand } from './supervise.js'
import { simulateCommand } from './simulate.js'
import { sniffCommand } from './sniff.js'
import { testCommand } from './test.js'
import { traceCommand } from './trace.js'
import { exitCodes, processTerminal } from './terminal.js'
import { updateCommand, verifyCommand } from './update.js'
import { ownVersion } from './version.js'

const terminal = processTerminal(readEnvironment())
const program = new Command('hutong')
  .description('Hutong 互通: hospital feeds flow into the provincial repository')
  .version(ownVersion())
  .showHelpAfterError('(hutong --help lists the commands)')
  .exitOverride()

const commands = [
  demoCommand,
  runCommand,
  checkCommand,
  inspectCommand,
  sniffCommand,
  replayCommand,
  backfillCommand,
  recordCommand,
  testCommand,
  schemasCommand,
  reconcileCommand,
  traceCommand,
  deadLettersCommand,
  doctorCommand,
  simulateCommand,
  alertsCommand,
  fleetCommand,
  superviseCommand,
  expectCommand,
  caCommand,
  edgeCommand,
  enrolCommand,
  serviceCommand,
  updateCommand,
  verifyCommand,
  acceptanceCommand,
  connectorCommand,
]
for (const command of commands) command(program, terminal)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  else if (error instanceof UsageError) {
    terminal.err(`hutong: ${error.message}\n`)
    process.exitCode = exitCodes.usage
  } else if (error instanceof RetryableError) {
    terminal.err(`hutong: ${error.message}\n`)
    process.exitCode = exitCodes.unavailable
  } else throw error
}
