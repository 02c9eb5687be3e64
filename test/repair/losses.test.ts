/** `accept-loss` on whole cores: ranges that have no synced copy any more, before and after an operator gives them up. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { rangeOfKey } from '../../src/store-requests.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { bytesOf, textOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('losses')
let cluster: MemoryCluster

test.after.each(() => cluster.close())

const named = (name: string): MemoryNode => cluster.nodes.get(name)!

/** Five nodes, the three that hold range 0, the ranges that these hold alone, and an old value for keys of them. */
async function five() {
  // Nobody is dead by silence alone, and who is removed is at once.
  cluster = new MemoryCluster({}, { reclaimAfterMs: 0 })
  const nodes = await cluster.startMany(5)
  const { view } = nodes[0]!.core.topology
  const trio = view.preferenceList(0)
  const ranges = Array.from({ length: cluster.params.q }, (_, range) => range).filter(range =>
    view.preferenceList(range).every(member => trio.includes(member))
  )
  // The founder, if it is one of them, is the last: a founder that has lost all would found its cluster once more.
  const victims = nodes.filter(({ peerId }) => trio.includes(peerId)).map(({ name }) => name)
  const [last, first, second] = victims as [string, string, string]
  const [other] = nodes.map(({ name }) => name).filter(name => !victims.includes(name)) as [string]
  const keys = keysOf('old', ranges)
  for (const key of keys) await nodes[0]!.core.store.put(key, `value of ${key}`)
  await until('nobody keeps any of them for others', async () => {
    const stats = await Promise.all(nodes.map(async ({ core }) => (await core.info('stats')) as Record<string, number>))
    return stats.every(({ hintRanges }) => hintRanges === 0)
  })
  return { ranges, first, second, last, other, keys }
}

/** Two keys of each range. */
function keysOf(prefix: string, ranges: readonly number[]): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < 2 * ranges.length; i++) {
    const range = rangeOfKey(bytesOf(`${prefix} ${i}`), cluster.params.q)
    const isWanted = keys.filter(key => rangeOfKey(bytesOf(key), cluster.params.q) === range).length < 2
    if (ranges.includes(range) && isWanted) keys.push(`${prefix} ${i}`)
  }
  return keys
}

/** `ok`, or the code and the reason. */
function acceptLoss(name: string, ranges: number[], force = false): Promise<string> {
  const operator = cluster.hub.network(`operator ${name}`, 'client')
  const request = { type: 'manage', action: 'accept-loss', peerId: '', ranges, force } as const
  return operator
    .request(named(name).peerId, request, { timeoutMs: 20_000 })
    .then(
      ({ type }) => type,
      error => `${error.code}: ${error.message}`
    )
    .finally(() => operator.close())
}

/** The values, or the code of the error. */
const found = (name: string, key: string): Promise<string[] | string> =>
  named(name)
    .core.store.get(key)
    .then(
      ({ values }) => values.map(textOf).sort(),
      error => error.code
    )

async function allFound(name: string, keys: readonly string[]): Promise<(string[] | string)[]> {
  const all: (string[] | string)[] = []
  for (const key of keys) all.push(await found(name, key))
  return all
}

const distinct = (answers: (string[] | string)[]): string[] => [...new Set(answers.map(String))]

/** All members of all lists are synced, and hold the same. */
function equal(what: string): Promise<unknown> {
  return until(
    what,
    async () => {
      const nodes = [...cluster.nodes.values()]
      const sums = new Map<string, string>()
      for (const { peerId, core } of nodes)
        for (const { range, status, sum } of (await core.info('copies')) as Record<string, unknown>[])
          sums.set(`${peerId} ${range}`, `${status} ${sum}`)
      const { view } = nodes[0]!.core.topology
      for (let range = 0; range < cluster.params.q; range++) {
        const of = new Set(
          view.preferenceList(range).map(member => sums.get(`${member} ${range}`) ?? `none at ${member}`)
        )
        if (of.size !== 1 || ![...of][0]!.startsWith('synced')) throw new Error(`range ${range}: ${[...of]}`)
      }
      return true
    },
    60_000
  )
}

const isDown = (at: string, peerId: string) =>
  until(`${peerId} is seen down`, () => named(at).core.membership.member(peerId)?.verdict === 'down')

test('two of three disks are lost and the third node is removed: not available, then what has been written since', async () => {
  const { ranges, first, second, last, other, keys } = await five()
  const gone = named(last).peerId
  for (const name of [first, second, last]) cluster.crash(name)
  for (const name of [first, second]) {
    cluster.wipe(name)
    await cluster.start(name)
  }
  await until('both know the ring again', () => named(first).core.ready && named(second).core.ready)
  await isDown(other, gone)
  assert.match(await acceptLoss(other, ranges), new RegExp(`^refused: .*${gone} cannot be reached now and may return`))
  assert.equal(distinct(await allFound(other, keys)), ['not-available'])
  const fresh = keysOf('new', ranges)
  for (const key of fresh) await named(other).core.store.put(key, `value of ${key}`)
  const elsewhere = (ranges.at(-1)! + 1) % cluster.params.q
  assert.not.ok(ranges.includes(elsewhere))
  assert.match(await acceptLoss(other, [elsewhere]), /^refused: range \d+ is not lost: \S+ has a synced copy/)
  await named(other).core.membership.remove(gone)
  assert.is(await acceptLoss(other, ranges), 'ok')
  for (const { name } of cluster.nodes.values()) {
    assert.equal(distinct(await allFound(name, keys)), [''], 'no such key')
    assert.equal(
      await allFound(name, fresh),
      fresh.map(key => [`value of ${key}`])
    )
  }
  assert.match(await acceptLoss(other, ranges), /^refused: .* has a synced copy/, 'once is enough')
  await until(
    'the others take over what the removed one owned',
    () => !named(other).core.topology.view.owners().includes(gone),
    60_000
  )
  await equal('all copies are synced and equal')
  assert.equal(
    await allFound(first, fresh),
    fresh.map(key => [`value of ${key}`])
  )
})

test('a lost copy that returns after all: its values are there again beside newer ones, and what was deleted since stays deleted', async () => {
  const { ranges, first, second, last, other, keys } = await five()
  const gone = named(last).peerId
  const [deleted, rewritten] = keys as [string, string]
  const { context } = await named(other).core.store.get(deleted)
  for (const name of [first, second, last]) cluster.crash(name)
  cluster.wipe(first)
  // The other one has what it had, but does not know that it is complete.
  await cluster.disk(second).unlink('d/copies.json')
  for (const name of [first, second]) await cluster.start(name)
  await until('both know the ring again', () => named(first).core.ready && named(second).core.ready)
  await isDown(other, gone)
  assert.is(await found(other, keysOf('no', ranges)[0]!), 'not-available')
  assert.match(await acceptLoss(other, ranges), /^refused: /)
  assert.is(await acceptLoss(other, ranges, true), 'ok')
  assert.equal(
    await allFound(first, keys),
    keys.map(key => [`value of ${key}`]),
    'they were brought level first'
  )
  await named(other).core.store.delete(deleted, { context })
  await named(other).core.store.put(rewritten, 'newer')
  await cluster.start(last)
  await equal('all copies are synced and equal')
  for (const { name } of cluster.nodes.values()) {
    assert.equal(await found(name, deleted), [])
    assert.equal(await found(name, rewritten), ['newer', `value of ${rewritten}`])
    for (const key of keys.slice(2)) assert.equal(await found(name, key), [`value of ${key}`])
  }
})

test('all three are gone for good: a survivor takes the ranges over, with what was kept for them', async () => {
  const { ranges, first, second, last, other, keys } = await five()
  const gone = [first, second, last].map(name => named(name).peerId)
  for (const name of [first, second, last]) cluster.crash(name)
  for (const peerId of gone) await isDown(other, peerId)
  const fresh = keysOf('new', ranges)
  for (const key of fresh) await named(other).core.store.put(key, `value of ${key}`)
  assert.equal(distinct(await allFound(other, keys)), ['not-available'])
  assert.match(await acceptLoss(other, ranges, true), /^refused: .*hears too few members/)
  for (const peerId of gone) await named(other).core.membership.remove(peerId)
  const owned = () =>
    named(other)
      .core.topology.claims()
      .filter(({ owner }) => !gone.includes(owner)).length
  const before = owned()
  await until('the survivors take over what they have copies of', () => owned() > before)
  for (const range of ranges) assert.ok(gone.includes(named(other).core.topology.view.owner(range)!))
  assert.is(await acceptLoss(other, ranges), 'ok')
  for (const { name } of cluster.nodes.values()) {
    assert.equal(
      await allFound(name, fresh),
      fresh.map(key => [`value of ${key}`])
    )
  }
  await until('nothing is owned by the dead', () => named(other).core.topology.view.owners().length === 2)
  await equal('all copies are synced and equal')
  for (const { name } of cluster.nodes.values()) assert.equal(distinct(await allFound(name, keys)), [''], 'no such key')
})

test.run()
