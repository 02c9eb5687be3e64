/** One node of three on a full disk (failures 20): the cluster takes writes, through that node too, and mends it afterwards. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { ClusterOnDisk } from './faults/cluster-on-disk.ts'

const nodeSuite = suite('a node on a full disk')
const reason = whyNoDisks('tmpfs', 'ext4')
if (reason !== undefined) console.log(`skipped: a node on a full disk (${reason})`)
const test = reason === undefined ? nodeSuite : nodeSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

test('the cluster goes on, hands on what the full node is asked, and mends it when there is room', () =>
  ClusterOnDisk.run({ kind: 'tmpfs', mib: 24 }, [], async it => {
    const load = it.startLoad()
    await until('some writes', () => load.writes > 300)
    it.disk.fill(64 * 1024)
    await until('the node says that its disk is full', () => /ENOSPC|no room/.test(it.node.log))
    const [from, forwardedBefore] = [load.writes, (await it.stats()).forwarded!]
    await until('many writes on the full disk', () => load.writes > from + 600, 30_000)
    const forwarded = (await it.stats()).forwarded! - forwardedBefore
    assert.ok(forwarded > 0, 'the full node hands on what it is asked')
    await it.mustBeMember()
    it.disk.makeRoom()
    const roomAtMs = performance.now()
    await until('it takes writes again', async () => {
      const before = (await it.stats()).forwarded!
      await new Promise(resolve => setTimeout(resolve, 300))
      return (await it.stats()).forwarded === before
    })
    const againMs = performance.now() - roomAtMs
    await load.stop()
    console.log(
      `| on a full tmpfs: ${load.summary}; ${forwarded} handed on; served itself after ${againMs.toFixed(0)} ms`
    )
    assert.is(load.failed, 0)
    // A read of one answer takes a node's own copy first.
    await it.mustHaveAll(load)
    console.log(`| mended, ${await it.mustBeIdentical()} keys the same on all three`)
  }))

nodeSuite.run()
