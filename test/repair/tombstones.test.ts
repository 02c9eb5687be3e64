/** Which dead keys are due, and that none has to wait for ever behind others. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type DeadKey, Tombstones } from '../../src/repair/tombstones.ts'
import { systemClock } from '../../src/runtime.ts'
import { bytesOf, intent, keysIn, type MemoryReplica, openReplica, put, textOf } from '../support/memory-replica.ts'

const test = suite('tombstones')
const WAIT_MS = 1000

async function subject(keys: string[]) {
  const node = await openReplica()
  const clock = { ...systemClock, nowMs: 0, monotonicMs: () => clock.nowMs }
  for (const key of keys) await remove(node, key)
  const tombstones = new Tombstones({ clock, replicas: node.replicas })
  const look = (reads = 1000) => tombstones.due(1, WAIT_MS, { entries: 1e6, reads })
  return { node, clock, tombstones, look }
}

async function remove(node: MemoryReplica, key: string): Promise<void> {
  const { state } = await put(node, key, 'value')
  await put(node, key, undefined, state.context)
}

const names = (due: DeadKey[]) => due.map(({ key }) => textOf(key)).sort()

test('a key is due when it has been dead, in the same state, for the waiting time', async () => {
  const [dead, living, again] = keysIn(1, 3) as [string, string, string]
  const { node, clock, tombstones, look } = await subject([dead, again])
  await put(node, living, 'lives')
  assert.equal(await look(), [])
  assert.is(tombstones.count, 2)
  clock.nowMs = WAIT_MS - 1
  assert.equal(await look(), [])
  await put(node, again, 'back')
  clock.nowMs = WAIT_MS
  assert.equal(names(await look()), [dead])
  await remove(node, again)
  assert.equal(names(await look()), [dead], 'the other one waits anew: it has been somewhat else')
})

test('an expiring value is looked at when it has expired, and is due a waiting time later', async () => {
  const [key] = keysIn(1, 1) as [string]
  const { node, clock, look } = await subject([])
  const expiresAtMs = Date.now() + 50
  await (await node.replicas.write(1, bytesOf(key), { ...intent('short'), expiresAtMs })).stored
  assert.equal(await look(), [])
  clock.wallMs = () => expiresAtMs + 1
  clock.nowMs = 60
  assert.equal(await look(), [], 'seen dead for the first time')
  clock.nowMs = 60 + WAIT_MS
  assert.equal(names(await look()), [key])
})

test('keys that may not go yet do not keep the others waiting', async () => {
  const keys = keysIn(1, 40)
  const { clock, tombstones, look } = await subject(keys)
  const seen = new Set<string>()
  for (let round = 0; round < 30; round++, clock.nowMs += WAIT_MS) {
    const due = await look(5)
    for (const name of names(due)) seen.add(name)
    tombstones.postpone(1, due, WAIT_MS)
  }
  assert.equal([...seen].sort(), [...keys].sort())
})

test('one that is refused again and again is proposed ever more seldom', async () => {
  const { clock, tombstones, look } = await subject(keysIn(1, 1))
  await look()
  let proposals = 0
  for (let round = 0; round < 64; round++) {
    clock.nowMs += WAIT_MS
    const due = await look()
    proposals += due.length
    tombstones.postpone(1, due, WAIT_MS)
  }
  assert.ok(proposals >= 5 && proposals <= 8, `${proposals} times`)
})

test.run()
