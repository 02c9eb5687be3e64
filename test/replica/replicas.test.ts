import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../src/config.ts'
import { isCoterieError } from '../../src/errors.ts'
import { positionOf } from '../../src/ring/position.ts'
import { type CausalContext, covers } from '../../src/version/causal-context.ts'
import type { Dot } from '../../src/version/dot.ts'
import { liveSiblings } from '../../src/version/key-state.ts'
import { fails } from '../support/fails.ts'
import { FakeFiles } from '../support/fake-files.ts'
import {
  bytesOf,
  intent,
  keysIn,
  type MemoryReplica,
  openReplica,
  put,
  rangeOf,
  rebuiltSums,
  stateOf,
  textOf,
  valuesOf
} from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('replicas')

const sumsAreTrue = (node: MemoryReplica) => {
  for (const range of node.copies.ranges()) {
    assert.equal(node.replicas.sums(range).encode(), rebuiltSums(node, range).encode(), `sums of range ${range}`)
  }
}

test('a blind write makes a sibling, one with a context replaces exactly what it has seen, a tombstone deletes', async () => {
  const node = await openReplica()
  const first = await put(node, 'k', 'a')
  await put(node, 'k', 'b')
  assert.equal(await valuesOf(node, 'k'), ['a', 'b'])
  const third = await put(node, 'k', 'c', { vector: new Map(), cloud: [first.dot] })
  assert.is(third.replaced, 1)
  assert.equal(await valuesOf(node, 'k'), ['b', 'c'])
  await put(node, 'k', undefined, third.state.context)
  assert.equal(await valuesOf(node, 'k'), [])
  assert.is.not(await stateOf(node, 'k'), undefined)
})

// Without a cache every write first has to ask the disk where the key's last record lies, and takes effect late.
for (const [name, cacheBytes] of [
  ['', 1024 * 1024],
  [', not one of them in the cache', 1]
] as const) {
  test(`concurrent writes of one key lose nothing${name}`, async () => {
    const files = new FakeFiles()
    const node = await openReplica(files, { cacheBytes })
    await put(node, 'k', 'first')
    const release = files.hold('read')
    const texts = Array.from({ length: 20 }, (_, i) => `w${String(i).padStart(2, '0')}`)
    const all = Promise.all(texts.map(text => put(node, 'k', text)))
    const other = await openReplica()
    const theirs = await put(other, 'k', 'theirs')
    const merged = node.replicas.merge(rangeOf(node, 'k'), bytesOf('k'), theirs.bytes)
    release()
    await merged
    const written = await all
    assert.equal(await valuesOf(node, 'k'), ['first', 'theirs', ...texts])
    // No state that left for the other replicas covers a write without holding it.
    const seenElsewhere = other
    for (const { bytes } of written.reverse())
      await seenElsewhere.replicas.merge(rangeOf(node, 'k'), bytesOf('k'), bytes)
    assert.equal(await valuesOf(seenElsewhere, 'k'), ['first', 'theirs', ...texts])
    sumsAreTrue(node)
  })
}

test('a repeated write mints nothing, and is not acknowledged before the first is stored', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const range = rangeOf(node, 'k')
  const release = files.hold('write')
  const once = intent('v')
  const first = await node.replicas.write(range, bytesOf('k'), once)
  const again = await node.replicas.write(range, bytesOf('k'), { ...once })
  assert.equal(again.dot, first.dot)
  let acked = ''
  void again.stored.then(() => (acked = 'too early'))
  let merged = ''
  void node.replicas.merge(range, bytesOf('k'), first.bytes).then(() => (merged = 'too early'))
  await until('the write waits', () => files.counts.write! > 0)
  await new Promise(resolve => setImmediate(resolve))
  assert.is(acked + merged, '')
  release()
  await Promise.all([first.stored, again.stored])
  assert.equal(await valuesOf(node, 'k'), ['v'])
})

test('a frozen copy takes nothing and a copy that is none holds nothing; a thawed one goes on as syncing', async () => {
  const node = await openReplica(new FakeFiles(), { ranges: [0, 1] })
  const [key] = keysIn(0, 1)
  const [elsewhere] = keysIn(5, 1)
  const { bytes } = await put(node, key, 'v')
  await node.copies.set([0], 'frozen')
  await fails('wrong-node', put(node, key, 'w'))
  await fails('wrong-node', node.replicas.merge(0, bytesOf(key), bytes))
  assert.equal(await valuesOf(node, key), ['v'])
  await fails('wrong-node', put(node, elsewhere, 'v'))
  await node.replicas.create([0])
  assert.is(node.replicas.status(0), 'syncing')
  await put(node, key, 'w')
  assert.equal(await valuesOf(node, key), ['v', 'w'])
})

test('damage is reported, makes the copy syncing and the actor new; the key can be refilled', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files, { cacheBytes: 1 })
  const [key, sound] = keysIn(3, 2)
  const before = await put(node, key, 'precious')
  await put(node, sound, 'sound')
  const path = files.paths().find(path => /0003-/.test(path))!
  const at = Buffer.from(files.peek(path)).indexOf('precious')
  files.poke(path, at, [0])
  assert.equal(await valuesOf(node, key), [])
  assert.is(node.replicas.status(3), 'syncing')
  assert.is(node.replicas.damages(3), 1)
  const after = await put(node, key, 'new')
  assert.is.not(after.dot.actor, before.dot.actor)
  await node.replicas.merge(3, bytesOf(key), before.bytes)
  assert.equal(await valuesOf(node, key), ['new', 'precious'])
  assert.equal(await valuesOf(node, sound), ['sound'])
  sumsAreTrue(node)
})

test('every opening of a copy mints under a new name, kill or power cut', async () => {
  for (const end of ['crash', 'powerCut'] as const) {
    const files = new FakeFiles()
    const node = await openReplica(files)
    const first = await put(node, 'k', 'a')
    files[end]()
    const again = await openReplica(files)
    const second = await put(again, 'k', 'b')
    assert.is.not(second.dot.actor, first.dot.actor)
    await again.replicas.merge(rangeOf(again, 'k'), bytesOf('k'), first.bytes)
    assert.equal(await valuesOf(again, 'k'), ['a', 'b'])
    await node.store.close().catch(() => undefined)
  }
})

test('a copy made anew while the old one is dropped keeps what it takes', async () => {
  const node = await openReplica()
  const [key] = keysIn(2, 1)
  const [other] = keysIn(2, 1, 'other')
  await put(node, key, 'old')
  await fails('internal', node.replicas.drop(2))
  await node.copies.set([2], 'frozen')
  // The drop waits for the disk while a request already brings the copy back.
  const release = node.files.hold('replaceFile')
  const dropped = node.replicas.drop(2)
  const made = node.replicas.create([2])
  await put(node, other, 'new')
  release()
  await Promise.all([dropped, made])
  await put(node, other, 'newer')
  assert.is(node.replicas.status(2), 'syncing')
  assert.equal(await valuesOf(node, other), ['new', 'newer'])
  assert.equal(await valuesOf(node, key), [])
  sumsAreTrue(node)
})

test('a dropped copy leaves a syncing one behind at worst, wherever the crash comes', async () => {
  for (const operation of ['replaceFile', 'unlink', 'syncDir'] as const) {
    const files = new FakeFiles()
    const node = await openReplica(files)
    const [key] = keysIn(2, 1)
    await put(node, key, 'v')
    await node.copies.set([2], 'frozen')
    files.fail(operation, 'EIO')
    await node.replicas.drop(2).catch(() => undefined)
    files.crash()
    const again = await openReplica(files)
    assert.is.not(again.replicas.status(2), 'synced', operation)
  }
})

test('sync proves nothing for a fenced range', async () => {
  const files = new FakeFiles()
  const node = await openReplica(files)
  const [key] = keysIn(4, 1)
  await put(node, key, 'v')
  files.fail('sync', 'EIO')
  await fails('range-fenced', node.replicas.sync([4]))
  await fails('range-fenced', node.replicas.sync([4]))
  assert.ok(node.replicas.isFenced(4))
})

test('a page lists live keys only, keeps to the prefix and goes on where it ended', async () => {
  const node = await openReplica()
  const keys = keysIn(6, 30)
  for (const key of keys) await put(node, key, 'v')
  const gone = await put(node, keys[0], undefined, (await node.replicas.read(6, bytesOf(keys[0])))!.context)
  assert.equal(liveSiblings(gone.state, 0), [])
  const found: string[] = []
  let after: { hi: number; lo: number } | undefined
  for (let pages = 0; pages < 40; pages++) {
    const page = await node.replicas.page(6, after, 4, bytesOf('key-'))
    found.push(...page.keys.map(textOf))
    if (page.done) break
    after = positionOf(page.keys.at(-1)!)
  }
  assert.equal(found.sort(), keys.slice(1).sort())
  assert.equal((await node.replicas.page(6, undefined, 100, bytesOf('zzz'))).keys, [])
})

test('a key at its sibling limit refuses one more, merges all the same, and takes the write that shrinks it', async () => {
  const node = await openReplica()
  const elsewhere = await openReplica()
  let last = await put(node, 'k', 'v0')
  for (let i = 1; i < LIMITS.maxSiblings; i++) last = await put(node, 'k', `v${i}`)
  await fails('too-many-siblings', put(node, 'k', 'one more'))
  const more = await put(elsewhere, 'k', 'from elsewhere')
  await node.replicas.merge(rangeOf(node, 'k'), bytesOf('k'), more.bytes)
  assert.is((await valuesOf(node, 'k')).length, LIMITS.maxSiblings + 1)
  await put(node, 'k', 'merged', last.state.context)
  assert.equal(await valuesOf(node, 'k'), ['from elsewhere', 'merged'])
})

type Step =
  | { kind: 'write'; key: number; blind: boolean; wait: boolean }
  | { kind: 'take'; key: number; wait: boolean }
  | { kind: 'fail'; partial: number }
  | { kind: 'sums' }
const key = fc.integer({ min: 0, max: 2 })
const stepArb: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('write' as const), key, blind: fc.boolean(), wait: fc.boolean() })
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('take' as const), key, wait: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), partial: fc.integer({ min: 0, max: 40 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sums' as const) }) }
)

/** Runs a history; returns the acknowledged writes, with what each of them had seen. */
async function live(node: MemoryReplica, steps: Step[], keys: string[]) {
  const elsewhere = await openReplica()
  const acked: { key: string; dot: Dot; text: string; seen?: CausalContext }[] = []
  const pending: Promise<void>[] = []
  const take = async (key: string, text: string) => {
    const { bytes, dot } = await put(elsewhere, key, text)
    await node.replicas.merge(1, bytesOf(key), bytes)
    acked.push({ key, dot, text })
  }
  const write = async (key: string, text: string, blind: boolean) => {
    const seen = blind ? undefined : (await node.replicas.read(1, bytesOf(key)))?.context
    const { dot, stored } = await node.replicas.write(1, bytesOf(key), intent(text, seen))
    await stored
    acked.push({ key, dot, text, seen })
  }
  for (const [i, step] of steps.entries()) {
    if (step.kind === 'fail') node.files.fail('write', 'ENOSPC', { path: /0001-/, partialBytes: step.partial })
    else if (step.kind === 'sums') node.replicas.sums(1)
    else {
      const text = `${step.kind}-${i}`
      const key = keys[step.key]
      const running = step.kind === 'take' ? take(key, text) : write(key, text, step.blind)
      // A full disk is part of the history.
      const settled = running.catch(error => assert.ok(isCoterieError(error, 'disk-full'), String(error)))
      pending.push(settled)
      if (step.wait) await settled
    }
  }
  await Promise.all(pending)
  node.files.heal()
  return acked
}

test('after any history the sums are those of the index, and nothing acknowledged is gone unless somebody replaced it', async () => {
  const keys = keysIn(1, 3)
  await fc.assert(
    fc.asyncProperty(fc.array(stepArb, { maxLength: 40 }), fc.boolean(), async (steps, cached) => {
      const node = await openReplica(new FakeFiles(), { cacheBytes: cached ? 1024 * 1024 : 1 })
      const acked = await live(node, steps, keys)
      sumsAreTrue(node)
      for (const { key, dot, text } of acked) {
        const replaced = acked.some(other => other.key === key && other.seen !== undefined && covers(other.seen, dot))
        assert.is((await valuesOf(node, key)).includes(text), !replaced, `${text} of ${key}`)
      }
      const before = await Promise.all(keys.map(key => stateOf(node, key)))
      await node.store.close()
      const again = await openReplica(node.files)
      assert.equal(await Promise.all(keys.map(key => stateOf(again, key))), before)
      sumsAreTrue(again)
    }),
    { numRuns: 100 }
  )
})

test.run()
