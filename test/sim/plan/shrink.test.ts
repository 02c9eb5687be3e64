import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkPlan } from '../../../src/sim/plan/check-plan.ts'
import type { Plan } from '../../../src/sim/plan/plan.ts'
import { keepNodes } from '../../../src/sim/plan/plan-edit.ts'
import { SCENARIOS } from '../../../src/sim/plan/scenarios.ts'
import { shrink } from '../../../src/sim/plan/shrink.ts'
import { drawPlan } from '../../../src/sim/plan/swarm.ts'

const test = suite('sim/shrink')

/** `fails` as a run would, counting, and refusing plans that nobody could run. */
function counted(fails: (plan: Plan) => boolean) {
  const probe = {
    runs: 0,
    async fails(plan: Plan): Promise<boolean> {
      probe.runs++
      return fails(checkPlan(plan))
    }
  }
  return probe
}

/** A large plan with a crash of n2 and a put of k3. */
function large(): Plan {
  const plan = drawPlan('5', { nodes: 12 })
  return {
    ...plan,
    params: { q: 64, n: 5, r: 3, w: 3 },
    links: { ...plan.links, loss: 0.02, replay: 0.03 },
    operations: Array.from({ length: 200 }, (_, id) => ({
      id,
      atMs: Math.min(plan.healAtMs, 3000 + id * 50),
      client: id % 5,
      key: id % 10,
      kind: (['get', 'update', 'blind-put', 'put'] as const)[id % 4],
      via: id % 12
    })),
    faults: [
      ...plan.faults,
      { kind: 'partition', atMs: 4000, forMs: 1000, groups: [['n1', 'n2'], ['n5']] },
      { kind: 'crash', atMs: 5000, forMs: 4000, node: 'n2' },
      { kind: 'pause', atMs: 5500, forMs: 4000, node: 'n3' }
    ]
  }
}

const hasCrash = (plan: Plan) => plan.faults.some(fault => fault.kind === 'crash' && fault.node === 'n2')
const hasPut = (plan: Plan) => plan.operations.some(({ kind, key }) => kind === 'put' && key === 3)

test('finds what a failure needs: a crash and a put', async () => {
  const plan = large()
  const probe = counted(plan => hasCrash(plan) && hasPut(plan))
  const small = await shrink(plan, probe.fails)
  assert.is(small.faults.length, 1)
  assert.is(small.operations.length, 1)
  assert.equal(
    small.nodes.map(({ name }) => name),
    ['n2']
  )
  assert.ok(hasCrash(small) && hasPut(small))
  assert.is(small.operations[0].via, 0)
  assert.equal(small.params, { q: 8, n: 1, r: 1, w: 1 })
  assert.is(small.links.loss + small.links.replay, 0)
  const [fault] = small.faults
  assert.ok('forMs' in fault && fault.forMs < 400)
  assert.ok(small.healAtMs < plan.healAtMs && small.settleMs < plan.settleMs)
  assert.ok(probe.runs <= 120, `${probe.runs} runs`)
})

test('keeps what must be together: two faults, operations far apart, and the nodes between them', async () => {
  const probe = counted(plan => {
    const ids = plan.operations.map(({ id }) => id)
    const parted = plan.faults.some(
      fault => fault.kind === 'partition' && fault.groups.some(group => group.includes('n1') && group.includes('n2'))
    )
    return parted && hasCrash(plan) && [3, 77, 190].every(id => ids.includes(id)) && plan.nodes.length >= 3
  })
  const small = await shrink(large(), probe.fails)
  assert.equal(
    small.operations.map(({ id }) => id),
    [3, 77, 190]
  )
  assert.equal(small.faults.map(({ kind }) => kind).sort(), ['crash', 'partition'])
  assert.is(small.nodes.length, 3)
  assert.equal(small.faults.find(fault => fault.kind === 'partition')?.groups, [['n1', 'n2']])
  assert.ok(probe.runs <= 200)
})

test('a failure that needs nothing loses everything', async () => {
  for (const { name: scenario } of SCENARIOS) {
    const small = await shrink(drawPlan('1', { scenario }), async () => true)
    assert.equal([small.faults, small.operations, small.nodes.length], [[], [], 1])
  }
})

test('every candidate is valid, whatever fails', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const plan = drawPlan(`valid-${seed}`)
    // Fails or not by what it is, without rhyme or reason, as real runs do.
    const probe = counted(candidate => (JSON.stringify(candidate).length * 31 + seed) % 3 === 0)
    checkPlan(await shrink(plan, probe.fails, { maxRuns: 60 }))
    assert.ok(probe.runs <= 60)
  }
})

test('the same plan and predicate give the same result', async () => {
  const fails = async (plan: Plan) => hasCrash(plan) && plan.operations.length > 7
  assert.equal(await shrink(large(), fails), await shrink(large(), fails))
})

test('stops after maxRuns with the best so far', async () => {
  const plan = large()
  const probe = counted(plan => hasCrash(plan) && hasPut(plan))
  const progress: { runs: number; smaller: boolean; best: Plan }[] = []
  const small = await shrink(plan, probe.fails, { maxRuns: 7, onProgress: report => progress.push(report) })
  assert.is(probe.runs, 7)
  assert.equal(
    progress.map(({ runs }) => runs),
    [1, 2, 3, 4, 5, 6, 7]
  )
  assert.ok(progress.some(({ smaller }) => smaller))
  assert.is(progress.at(-1)?.best, small)
  assert.ok(hasCrash(small) && hasPut(small))
  assert.is(await shrink(plan, probe.fails, { maxRuns: 0 }), plan)
})

test('what never fails again stays as it was', async () => {
  const plan = large()
  assert.is(await shrink(plan, async () => false, { maxRuns: 500 }), plan)
})

test('what a run throws is thrown', async () => {
  const error = new Error('out of memory')
  const failure = await shrink(large(), () => Promise.reject(error)).catch(error => error)
  assert.is(failure, error)
})

test('a node that goes takes what names it along, and its clients go to the next', () => {
  const plan: Plan = {
    ...large(),
    faults: [
      { kind: 'partition', atMs: 1, forMs: 5, groups: [['n1', 'n2'], ['n0']] },
      { kind: 'partition', atMs: 1, forMs: 5, groups: [['n0', 'n1', 'n3']] },
      { kind: 'swizzle', atMs: 1, forMs: 5, nodes: ['n2', 'n5'] },
      { kind: 'swizzle', atMs: 1, forMs: 5, nodes: ['n5', 'n6'] },
      { kind: 'one-way', atMs: 1, forMs: 5, from: 'n1', to: 'n2' },
      { kind: 'forge', atMs: 1, from: 'n3', victim: 'n1' },
      { kind: 'crash', atMs: 1, forMs: 5, node: 'n0' }
    ]
  }
  const left = checkPlan(keepNodes(plan, name => ['n1', 'n3'].includes(name)))
  assert.equal(left.faults, [
    { kind: 'partition', atMs: 1, forMs: 5, groups: [['n1']] },
    { kind: 'forge', atMs: 1, from: 'n3', victim: 'n1' }
  ])
  assert.equal(
    left.operations.slice(0, 6).map(({ via }) => via),
    [0, 0, 1, 1, 0, 0]
  )
})

test.run()
