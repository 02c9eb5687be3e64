/** One node of three on a disk that stalls (failures 24): it stays a member, and the cluster reads and writes on. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { ClusterOnDisk } from './faults/cluster-on-disk.ts'

const nodeSuite = suite('a node on a stalled disk')
const reason = whyNoDisks('ext4')
if (reason !== undefined) console.log(`skipped: a node on a stalled disk (${reason})`)
const test = reason === undefined ? nodeSuite : nodeSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const STALL_MS = 8000
/** Loose, as in the test of the store alone. */
const MAX_LOOP_DELAY_MS = 1000

test('it stays a member, the others go on, and it is back to normal afterwards', () =>
  ClusterOnDisk.run({ kind: 'ext4', mib: 64 }, [], async it => {
    const load = it.startLoad()
    await until('some writes', () => load.writes > 200)
    await it.loopDelayMs()
    const before = { reads: load.reads, writes: load.writes, failed: load.failed }
    await it.disk.freeze()
    const endMs = performance.now() + STALL_MS
    const seen = new Set<string>()
    while (performance.now() < endMs) {
      for (const verdict of await it.mustBeMember()) seen.add(verdict)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    const delayMs = await it.loopDelayMs()
    const [reads, writes, failed] = [
      load.reads - before.reads,
      load.writes - before.writes,
      load.failed - before.failed
    ]
    await it.disk.thaw()
    const thawedAtMs = performance.now()
    await until('nothing is unsynced', async () => (await it.stats()).syncLagMs! < 200)
    const afterMs = performance.now() - thawedAtMs
    const [failedBefore, writesBefore] = [load.failed, load.writes]
    await until('some writes after it', () => load.writes > writesBefore + 100)
    await load.stop()
    console.log(
      `| ${STALL_MS} ms stalled: seen as ${[...seen]}; its event loop at most ${delayMs.toFixed(0)} ms late; ${reads} reads and ${writes} writes ` +
        `meanwhile, ${failed} failed; lag gone after ${afterMs.toFixed(0)} ms, ${load.failed - failedBefore} failed after that`
    )
    console.log(`| in all ${load.summary}`)
    assert.ok(writes > 50 && reads > 50, 'the cluster goes on')
    assert.ok(delayMs < MAX_LOOP_DELAY_MS, `the event loop was ${delayMs} ms late`)
    const [first, second, stalled, any] = load.failures
    assert.equal([first, second, any], [0, 0, 0], `only what goes through the stalled node alone may fail (${stalled})`)
    assert.ok(![...load.messages.keys()].some(message => message.includes('LOST')))
    await it.mustHaveAll(load)
    console.log(`| ${await it.mustBeIdentical()} keys the same on all three`)
  }))

nodeSuite.run()
