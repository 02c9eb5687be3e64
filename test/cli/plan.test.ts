/** A plan says what a cluster then does: nodes in memory join, leave and are removed as planned. And what it refuses. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseArguments } from '../../src/cli/args.ts'
import { PLAN_FLAGS, type PlanInfo, planOf } from '../../src/cli/plan.ts'
import { RingView } from '../../src/ring/ring-view.ts'
import { fails } from '../support/fails.ts'
import { MemoryCluster, type MemoryNode } from '../support/memory-cluster.ts'
import { until } from '../support/until.ts'
import { FakeCluster, MEMBERS } from './fakes.ts'

const test = suite('cli: plan')
const Q = 64
let cluster: MemoryCluster

test.before.each(() => {
  cluster = new MemoryCluster({ q: Q }, { reclaimAfterMs: 8000 })
})
test.after.each(() => cluster.close())

const given = (argv: string[]) => parseArguments(argv, PLAN_FLAGS, { command: 'plan', args: [] }, {})

/** As a command would ask this node. */
const planBy = ({ core }: MemoryNode, ...argv: string[]): Promise<PlanInfo> =>
  planOf(given(argv), { info: what => core.info(what) })

const ownersBy = ({ core }: MemoryNode) => core.topology.claims().map(({ owner }) => owner)

const allKnow = (count: number) =>
  until('all members are known', () =>
    [...cluster.nodes.values()].every(
      ({ core }) => core.membership.members().filter(({ record }) => record.status !== 'left').length === count
    )
  )

function countsOf(owners: string[]): number[] {
  return [...Map.groupBy(owners, owner => owner).values()].map(ranges => ranges.length).sort((a, b) => a - b)
}

const planned = ({ nodes }: PlanInfo): number[] =>
  nodes
    .map(({ after }) => after)
    .filter(after => after > 0)
    .sort((a, b) => a - b)

/** At rest, the owners have as many ranges as was planned. */
async function comesTrue(plan: PlanInfo, node: MemoryNode): Promise<void> {
  await until('shares are as planned', () => `${countsOf(ownersBy(node))}` === `${planned(plan)}`, 30_000)
  await cluster.settled()
  assert.equal(countsOf(ownersBy(node)), planned(plan))
}

/** (range, new list member) pairs between two rings. */
function newPairs(before: string[], after: string[]): number {
  const [was, is] = [before, after].map(owners => new RingView(owners, () => '', 3))
  return before.reduce((sum, _, range) => {
    const list = was!.preferenceList(range)
    return sum + is!.preferenceList(range).filter(member => !list.includes(member)).length
  }, 0)
}

test('a node joins: the owners end with as many ranges, and as much moves, as was planned', async () => {
  const [n0] = await cluster.startMany(4)
  const before = ownersBy(n0)
  const plan = await planBy(n0, '--join', '1')
  assert.equal(ownersBy(n0), before, 'a plan changes nothing')
  assert.equal(plan.warnings, [])
  const n4 = await cluster.start('n4')
  await until('it has its share', () => ownersBy(n0).filter(owner => owner === n4.peerId).length >= 12)
  await comesTrue(plan, n0)
  const after = ownersBy(n0)
  assert.is(after.filter((owner, range) => owner !== before[range]).length, plan.moved)
  assert.is(newPairs(before, after), plan.copied)
})

test('four nodes join one that is alone, and one of the five leaves', async () => {
  const n0 = await cluster.start('n0')
  await until('the founder owns the ring', () => n0.core.topology.complete)
  const grow = await planBy(n0, '--join', '4')
  for (let i = 1; i < 5; i++) await cluster.start(`n${i}`)
  await allKnow(5)
  await comesTrue(grow, n0)
  const leaver = cluster.nodes.get('n3')!
  const shrink = await planBy(n0, '--leave', leaver.peerId.slice(-8))
  assert.equal(shrink.change.leave, [leaver.peerId])
  await leaver.core.leave(false)
  await until('it has left', () => leaver.left === true, 30_000)
  await cluster.stop('n3')
  await comesTrue(shrink, n0)
})

test('a dead node is removed: the others take over what was planned', async () => {
  const nodes = await cluster.startMany(4)
  const [n0, , , n3] = nodes
  await allKnow(4)
  cluster.crash('n3')
  await until('it is seen down', async () => (await planBy(n0)).warnings.some(({ what }) => what === 'down'))
  await fails('bad-usage', planBy(n0, '--leave', n3.peerId))
  const plan = await planBy(n0, '--remove', n3.peerId)
  await n0.core.membership.remove(n3.peerId)
  const removed = await planBy(n0)
  assert.is(removed.nodes.find(({ peerId }) => peerId === n3.peerId)?.fate, 'removed')
  assert.equal(planned(removed), planned(plan), 'once it is removed, that is what will happen anyway')
  await until('its ranges are taken over', () => !ownersBy(n0).includes(n3.peerId), 30_000)
  await comesTrue(plan, n0)
})

test('what cannot be planned is refused, with what it takes', async () => {
  const fake = new FakeCluster()
  const [a, b, c] = MEMBERS.map(({ peerId }) => peerId) as [string, string, string]
  const refused = async (argv: string[], reason: RegExp) => {
    const error = await planOf(given(argv), fake).then(
      () => undefined,
      thrown => thrown
    )
    assert.is(error?.code, 'bad-usage', argv.join(' '))
    assert.match(error.message, reason)
  }
  await refused(['--leave', '12D3KooWnobody'], /--leave is "12D3KooWnobody", which is no member/)
  await refused(['--remove', 'A1'], /no member/)
  await refused(['--leave', b], /is down, and cannot leave/)
  await refused(['--leave', a, '--leave', c], /no node that is up would be left/)
  await refused(['--leave', a, '--remove', a], /named twice/)
  await refused(['--capacity', a], /takes PEER=C/)
  for (const bad of ['0', '-1', 'x', '', 'Infinity']) await refused(['--capacity', `${a}=${bad}`], /number above 0/)
  await refused(['--capacity', `${b}x=2`], /no member/)
  await refused(['--join', '0'], /whole number from 1/)
  await refused(['--join', '1', '--join-capacity', '0'], /number above 0/)
  await refused(['--zone', 'attic'], /give --join N as well/)
  await refused(['--join-capacity', '2'], /give --join N as well/)
  const { change } = await planOf(given(['--leave', a, '--leave', c, '--join', '1', '--zone', 'x']), fake)
  assert.equal([change.leave, change.join], [[a, c], [{ peerId: 'new-1', zone: 'x', capacity: 1 }]])
})

test('a node that knows only part of the ring cannot plan', async () => {
  const part = { info: async (what: string) => (what === 'ring' ? { q: 4, n: 3, owners: [] } : MEMBERS) }
  await fails('not-available', planOf(given([]), part))
})

test.run()
