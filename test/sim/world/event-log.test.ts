import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EventLog } from '../../../src/sim/world/event-log.ts'

const test = suite('sim event log')

test('the digest is SHA-256 over the lines', () => {
  const log = new EventLog()
  log.add(0, 'n1', 'timer')
  log.add(12.25, 'world', 'fault', 'crash n2')
  log.add(13, 'n2', 'bytes', 7)
  const lines = '0 n1 timer \n12.25 world fault crash n2\n13 n2 bytes 7\n'
  assert.is(log.events, 3)
  assert.is(log.digest(), createHash('sha256').update(lines).digest('hex'))
})

test('lines are hashed in batches, to the same end', () => {
  const log = new EventLog()
  const whole = createHash('sha256')
  for (let i = 0; i < 20_000; i++) {
    log.add(i / 8, 'n1', 'timer', i)
    whole.update(`${i / 8} n1 timer ${i}\n`)
  }
  assert.is(log.digest(), whole.digest('hex'))
})

test('any difference, and any other order, is another digest', () => {
  const digest = (...events: [number, string, string, string?][]) => {
    const log = new EventLog()
    for (const event of events) log.add(...event)
    return log.digest()
  }
  const digests = [
    digest(),
    digest([1, 'n1', 'timer']),
    digest([1, 'n2', 'timer']),
    digest([1, 'n1', 'timers']),
    digest([1, 'n1', 'timer', 'x']),
    // In the trace both are 1.000 ms; in the hash they are not.
    digest([1.0000001, 'n1', 'timer']),
    digest([1, 'n1', 'timer'], [1, 'n2', 'timer']),
    digest([1, 'n2', 'timer'], [1, 'n1', 'timer'])
  ]
  assert.is(new Set(digests).size, digests.length)
})

test('whoever traces sees every line, and changes no digest', () => {
  const lines: string[] = []
  const traced = new EventLog(line => lines.push(line))
  const silent = new EventLog()
  for (const log of [traced, silent]) {
    log.add(1500.5, 'n1', 'timer')
    log.add(1501, 'world', 'fault', 'crash')
  }
  assert.equal(lines, ['    1500.500 n1     timer ', '    1501.000 world  fault crash'])
  assert.is(traced.digest(), silent.digest())
})

test.run()
