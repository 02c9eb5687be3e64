import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../../src/errors.ts'
import { checkPlan, FAULT_KINDS, OPERATION_KINDS, writes } from '../../../src/sim/plan/check-plan.ts'
import { destroysData, isCalm, type Plan } from '../../../src/sim/plan/plan.ts'
import { planSummary } from '../../../src/sim/plan/plan-summary.ts'
import { SCENARIOS } from '../../../src/sim/plan/scenarios.ts'
import { drawPlan } from '../../../src/sim/plan/swarm.ts'

const test = suite('sim/swarm')

const SEEDS = Array.from({ length: 3000 }, (_, seed) => String(seed))
const swarm = SEEDS.map(seed => drawPlan(seed))

/** Nodes that a fault may take data from. */
const struck = ({ faults, settings }: Plan): Set<string> =>
  new Set(
    faults.flatMap(fault =>
      destroysData(fault, settings.durability ?? 'interval') && 'node' in fault ? fault.node : []
    )
  )

/** Copies that acknowledged every write, at least. */
function leastAcks({ nodes, operations, params }: Plan): number {
  const levels = operations.filter(({ kind }) => writes(kind)).map(({ w }) => w ?? params.w)
  return Math.min(nodes.filter(node => node.joinAtMs === 0).length, params.w, ...levels)
}

const average = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const shareOf = (plans: Plan[], holds: (plan: Plan) => boolean) => plans.filter(holds).length / plans.length

/** With its own words in the message, for a share that is drawn. */
function within(share: number, low: number, high: number, what: string): void {
  assert.ok(share >= low && share <= high, `${what}: ${share}`)
}

function throwsCode(fn: () => unknown, code: 'bad-config' | 'bad-usage', words: RegExp): void {
  try {
    fn()
  } catch (error) {
    assert.ok(isCoterieError(error, code), String(error))
    assert.match((error as Error).message, words)
    return
  }
  assert.unreachable(`nothing was thrown for ${words}`)
}

test('the same seed gives the same plan, another seed another one', () => {
  for (const { name: scenario } of SCENARIOS) {
    const [plan, again, other] = ['7', '7', '8'].map(seed => drawPlan(seed, { scenario }))
    assert.equal(plan, again)
    assert.is(plan.seed, '7')
    assert.is(plan.scenario, scenario)
    assert.not.equal({ ...plan, seed: '' }, { ...other, seed: '' })
  }
})

test('a plan survives a file', () => {
  for (const plan of swarm.slice(0, 200)) assert.equal(checkPlan(JSON.parse(JSON.stringify(plan))), plan)
})

test('every plan of the swarm can be carried out', () => {
  for (const plan of swarm) checkPlan(plan)
})

test('every scenario can be carried out at every size', () => {
  for (const { name: scenario } of SCENARIOS) {
    for (let nodes = 1; nodes <= 20; nodes++) {
      for (const seed of SEEDS.slice(0, 10)) {
        const plan = checkPlan(drawPlan(seed, { scenario, nodes }))
        assert.is(plan.nodes.length, nodes)
        assert.ok(plan.nodes.some(node => node.joinAtMs === 0))
      }
    }
    for (const seed of SEEDS.slice(0, 200)) checkPlan(drawPlan(seed, { scenario }))
  }
})

test('the swarm has everything: sizes, kinds of faults and operations, durabilities, parameters', () => {
  const all = <T>(of: (plan: Plan) => T | T[]) => new Set(swarm.flatMap(of))
  assert.equal(
    [...all(plan => plan.nodes.length)].sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1)
  )
  assert.equal([...all(plan => plan.faults.map(fault => fault.kind))].sort(), [...FAULT_KINDS].sort())
  assert.equal([...all(plan => plan.operations.map(({ kind }) => kind))].sort(), [...OPERATION_KINDS].sort())
  assert.equal([...all(plan => plan.settings.durability)].sort(), ['disk', 'interval', 'os'])
  assert.equal(
    [...all(plan => plan.params.q)].sort((a, b) => a - b),
    [8, 16, 32, 64]
  )
  assert.equal([...all(plan => plan.params.n)].sort(), [1, 2, 3, 4, 5])
  assert.equal([...all(plan => plan.nodes.map(node => node.zone))].sort(), ['', 'z0', 'z1', 'z2', 'z3'])
})

test('the swarm is spread: each run has some things and lacks others', () => {
  within(
    shareOf(swarm, plan => plan.nodes.length >= 3 && plan.nodes.length <= 7),
    0.6,
    0.8,
    'three to seven nodes'
  )
  within(
    shareOf(swarm, plan => plan.nodes.some(node => node.joinAtMs > 0)),
    0.3,
    0.6,
    'joins'
  )
  within(
    shareOf(swarm, ({ params: { r, w, n } }) => r + w > n),
    0.7,
    0.95,
    'reads meet writes'
  )
  within(
    shareOf(swarm, plan => plan.links.loss > 0),
    0.15,
    0.4,
    'loss'
  )
  for (const kind of ['crash', 'partition', 'one-way', 'swizzle'] as const) {
    within(
      shareOf(swarm, plan => plan.faults.some(fault => fault.kind === kind)),
      0.15,
      0.6,
      kind
    )
  }
  for (const kind of OPERATION_KINDS) {
    within(
      shareOf(swarm, plan => plan.operations.some(operation => operation.kind === kind)),
      0.15,
      0.9,
      kind
    )
  }
  assert.ok(Math.max(...swarm.map(plan => plan.faults.length)) >= 10)
})

test('runs are short', () => {
  assert.ok(average(swarm.map(plan => plan.operations.length)) <= 150)
  within(average(swarm.map(plan => plan.healAtMs)), 20_000, 45_000, 'average time to heal')
  for (const { operations, nodes, healAtMs } of swarm) {
    within(operations.length, 40, 300, 'operations')
    within(healAtMs, 5000, 90_000, 'time to heal')
    assert.is(nodes[0].joinAtMs, 0)
  }
})

test('few copies lose data: fewer than acknowledged a write, in nine of ten runs', () => {
  within(
    shareOf(swarm, plan => struck(plan).size >= Math.max(1, leastAcks(plan))),
    0.005,
    0.1,
    'beyond the budget'
  )
  within(
    shareOf(swarm, plan => struck(plan).size > 0),
    0.1,
    0.6,
    'any data lost'
  )
  for (const scenario of ['disk', 'wipe', 'join', 'restarts', 'deletes']) {
    for (const seed of SEEDS.slice(0, 300)) {
      const plan = drawPlan(seed, { scenario })
      assert.ok(struck(plan).size < leastAcks(plan) || struck(plan).size === 0, `${scenario} ${seed}`)
    }
  }
})

test('some runs are calm: no faults, and nothing is lost on the way', () => {
  const calm = swarm.filter(plan => plan.faults.length === 0)
  within(calm.length / swarm.length, 0.03, 0.08, 'calm')
  assert.ok(calm.every(isCalm))
})

test('scenarios do what they are for', () => {
  const kindsOf = (scenario: string) =>
    new Set(SEEDS.slice(0, 100).flatMap(seed => drawPlan(seed, { scenario }).faults.map(fault => fault.kind)))
  assert.equal(kindsOf('calm'), new Set())
  assert.ok(kindsOf('partition').has('partition'))
  assert.ok(kindsOf('join').has('crash'))
  assert.equal(kindsOf('power'), new Set(['power-cut']))
  for (const kind of ['bit-rot', 'eio', 'lost-write', 'misdirected-write', 'disk-full', 'disk-stall'] as const) {
    assert.ok(kindsOf('disk').has(kind), kind)
  }
  assert.ok(kindsOf('adversary').has('forge') && kindsOf('adversary').has('replay-record'))
  assert.equal(kindsOf('pauses'), new Set(['pause', 'clock-jump']))
  assert.ok(kindsOf('wipe').has('wipe'))
  assert.equal(kindsOf('restarts'), new Set(['restart', 'crash']))
  for (const seed of SEEDS.slice(0, 100)) {
    const joins = drawPlan(seed, { scenario: 'join' }).nodes.filter(node => node.joinAtMs > 0).length
    within(joins, 2, 6, 'joins')
    const { operations, links } = drawPlan(seed, { scenario: 'hot-key' })
    assert.ok(operations.every(({ key }) => key < 2) && links.loss > 0 && links.replay > 0)
  }
})

test('a scenario or a size that there is not is refused', () => {
  throwsCode(() => drawPlan('1', { scenario: 'none' }), 'bad-usage', /no scenario is called "none"; there are swarm, /)
  for (const nodes of [0, 1.5, -1, 1000]) throwsCode(() => drawPlan('1', { nodes }), 'bad-usage', /nodes is/)
})

test('a plan that cannot be carried out is refused, and the message says where', () => {
  const plan: Plan = {
    ...drawPlan('1', { nodes: 3, scenario: 'calm' }),
    faults: [{ kind: 'crash', atMs: 100, forMs: 200, node: 'n1' }]
  }
  checkPlan(plan)
  const [operation] = plan.operations
  const without: Record<string, unknown> = { ...plan }
  delete without.nodes
  const cases: [unknown, RegExp][] = [
    [undefined, /the whole is missing/],
    [[], /the whole is \[\]; it takes fields/],
    [without, /nodes is missing/],
    [{ ...plan, extra: 1 }, /no field "extra"/],
    [{ ...plan, params: { ...plan.params, q: 9 } }, /power of two/],
    [{ ...plan, params: { ...plan.params, w: plan.params.n + 1 } }, /write/],
    [{ ...plan, settings: { leaseMs: 10 } }, /leaseMs/],
    [{ ...plan, settings: { lease: 10 } }, /no field "lease"/],
    [{ ...plan, nodes: [] }, /nodes is empty/],
    [{ ...plan, nodes: [plan.nodes[0], plan.nodes[0], plan.nodes[1]] }, /two nodes are called n0/],
    [{ ...plan, nodes: plan.nodes.with(0, { ...plan.nodes[0], joinAtMs: 5 }) }, /founder/],
    [{ ...plan, nodes: plan.nodes.with(2, { ...plan.nodes[2], name: 'Paul' }) }, /name/],
    [{ ...plan, links: { ...plan.links, loss: 2 } }, /loss/],
    [{ ...plan, operations: [operation, operation] }, /two operations have the id/],
    [{ ...plan, operations: [{ ...operation, via: 3 }] }, /via/],
    [{ ...plan, operations: [{ ...operation, kind: 'post' }] }, /kind/],
    [{ ...plan, operations: [{ ...operation, kind: 'get', ttlMs: 1 }] }, /ttlMs/],
    [{ ...plan, operations: [{ ...operation, atMs: plan.healAtMs + 1 }] }, /atMs/],
    [{ ...plan, faults: [{ kind: 'flood', atMs: 1 }] }, /kind/],
    [{ ...plan, faults: [{ kind: 'crash', atMs: 1, forMs: 1e9, node: 'n1' }] }, /after all is to be healed/],
    [{ ...plan, faults: [{ kind: 'crash', atMs: 1, forMs: 5, node: 'n9' }] }, /"n9", which is no node/],
    [{ ...plan, faults: [{ kind: 'power-cut', atMs: 1, forMs: 5, node: 'n1' }] }, /torn is missing/],
    [{ ...plan, faults: [{ kind: 'partition', atMs: 1, forMs: 5, groups: [['n0', 'n1', 'n2']] }] }, /parts nobody/],
    [{ ...plan, faults: [{ kind: 'partition', atMs: 1, forMs: 5, groups: [['n0'], ['n0']] }] }, /twice/],
    [{ ...plan, faults: [{ kind: 'one-way', atMs: 1, forMs: 5, from: 'n0', to: 'n0' }] }, /to itself/],
    [{ ...plan, faults: [{ kind: 'forge', atMs: 1, from: 'n0', victim: 'n0' }] }, /victim/],
    [{ ...plan, faults: [{ kind: 'bad-links', atMs: 1, forMs: 5, node: 'n0', change: {} }] }, /changes nothing/]
  ]
  for (const [bad, words] of cases) throwsCode(() => checkPlan(bad), 'bad-config', words)
})

test('a plan is told in lines for people', () => {
  const plan = drawPlan('1', { nodes: 3, scenario: 'calm' })
  const lines = planSummary({
    ...plan,
    nodes: plan.nodes.map(node => ({ ...node, joinAtMs: 0 })),
    settings: { durability: 'disk', leaseMs: 9000 },
    operations: [{ id: 0, atMs: 1500, client: 0, key: 3, kind: 'expiring-put', via: 1, ttlMs: 500, w: 1 }],
    faults: [
      { kind: 'power-cut', atMs: 12_400, forMs: 3100, node: 'n2', torn: true },
      { kind: 'partition', atMs: 2000, forMs: 500, groups: [['n1']] }
    ],
    healAtMs: 20_000,
    settleMs: 60_000
  })
  assert.match(lines[0], /^scenario calm: 3 nodes, Q \d+, N \d, R \d, W \d, durability disk$/)
  assert.is(lines[1], 'leaseMs 9000')
  assert.equal(lines.slice(-5), [
    '1 operation by 1 client on 1 key, 1.5 s to 1.5 s: 1 expiring-put',
    '   1.5 s  client 0: expiring-put k3 via n1, for 500 ms, w 1',
    '   2.0 s  no links between n1 | the others (for 500 ms)',
    '  12.4 s  n2 loses power, and what it had not synced, torn (for 3.1 s)',
    '  20.0 s  all faults are over; settles within 60.0 s'
  ])
  for (const plan of swarm.slice(0, 500)) {
    for (const line of planSummary(plan)) assert.not.match(line, /undefined|NaN|\[object|\n/)
  }
})

test.run()
