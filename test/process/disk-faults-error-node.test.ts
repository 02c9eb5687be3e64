/** One node of three on a disk that fails (failures 19): its ranges are fenced, and rebuilt from the others once it is well. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { whyNoDisks } from '../support/real-disks.ts'
import { until } from '../support/until.ts'
import { ClusterOnDisk } from './faults/cluster-on-disk.ts'

const nodeSuite = suite('a node on a failing disk')
const reason = whyNoDisks('ext4')
if (reason !== undefined) console.log(`skipped: a node on a failing disk (${reason})`)
const test = reason === undefined ? nodeSuite : nodeSuite.skip

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const countOf = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length

test('the cluster goes on without its copies, and rebuilds them when the disk is well', () =>
  ClusterOnDisk.run({ kind: 'ext4', mib: 64 }, ['--durability', 'disk'], async it => {
    const load = it.startLoad()
    await until('some writes', () => load.writes > 200)
    it.disk.fail()
    await until('ranges are fenced', () => /the sync of .* failed \(EIO\)/.test(it.node.log))
    const from = load.writes
    await until('many writes meanwhile', () => load.writes > from + 300, 30_000)
    await it.mustBeMember()
    it.disk.mend()
    const mendedAtMs = performance.now()
    const fences = () => countOf(it.node.log, /a range file failed; the copy is rebuilt/g)
    const remade = () => countOf(it.node.log, /replaced a failed range file by a new one/g)
    await until(
      'every failed file is made anew, and full',
      async () => remade() >= fences() && (await it.stats()).copiesSyncing === 0,
      30_000,
      100
    )
    const rebuiltMs = performance.now() - mendedAtMs
    await load.stop()
    assert.ok(fences() > 0)
    console.log(`| failing disk: ${load.summary}`)
    console.log(
      `| ${fences()} times a range was fenced, ${remade()} files made anew, whole again after ${rebuiltMs.toFixed(0)} ms`
    )
    assert.equal([load.failures[0], load.failures[1], load.failures[3]], [0, 0, 0])
    assert.ok(![...load.messages.keys()].some(message => message.includes('LOST')))
    await it.mustHaveAll(load)
    console.log(`| ${await it.mustBeIdentical()} keys the same on all three`)
  }))

nodeSuite.run()
