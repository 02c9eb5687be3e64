/** What the ring must never do while a run is on. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClaimSeen, ListChange } from '../../../src/sim/history.ts'
import type { Fault } from '../../../src/sim/plan/plan.ts'
import { Account } from './account.ts'

const test = suite('sim/checker: ring')

const claim = (words: Partial<ClaimSeen>): ClaimSeen => ({
  range: 3,
  epoch: 2,
  owner: 'n1',
  by: 'n0',
  node: 'n0',
  atMs: 1000,
  ...words
})

function seen(claims: Partial<ClaimSeen>[], account = new Account()): Account {
  account.findings.ring.claims.push(...claims.map(claim))
  return account
}

function handed(...lists: Pick<ListChange, 'before' | 'after'>[]): string[] {
  const account = new Account()
  account.findings.ring.handed.push({
    node: 'n0',
    atMs: 1000,
    flips: [{ range: 5, to: 'n4' }],
    lists: lists.map((list, range) => ({ range, ...list }))
  })
  return account.check().map(({ rule, message }) => `${rule}: ${message}`)
}

test('two-grants: one owner for each range and epoch', () => {
  assert.equal(seen([{}, { range: 4, owner: 'n2' }, { epoch: 3, owner: 'n2', by: 'n1' }]).broken(), [])
  assert.equal(
    seen([{}, { owner: 'n2', node: 'n2', atMs: 2500 }])
      .check()
      .map(({ rule, message }) => `${rule}: ${message}`),
    [
      'two-grants: range 3 has two owners at epoch 2: n1 by grant of n0, first seen on n0 at 1.000 s; n2 by grant of n0, first seen on n2 at 2.500 s'
    ]
  )
})

test('two-grants: who lost its directory in between may not know of the first', () => {
  const two = [{ atMs: 1000 }, { owner: 'n2', atMs: 2000 }]
  assert.equal(seen(two, new Account().wipe('n0', 1500)).broken(), [])
  assert.equal(seen(two, new Account().wipe('n0', 2500)).broken(), ['two-grants'])
  assert.equal(seen(two, new Account().wipe('n1', 1500)).broken(), ['two-grants'])
  assert.equal(seen(two, new Account().cut('n0', 1500)).broken(), ['two-grants'], 'the map was synced')
  assert.equal(seen([...two, { owner: 'n4', atMs: 1200 }], new Account().wipe('n0', 1500)).broken(), ['two-grants'])
})

test('two-grants: an owner that was given up may give away what another takes over, just before and just back', () => {
  const run = (
    claims: Partial<ClaimSeen>[],
    forMs: number,
    reclaimAfterMs = 10_000,
    fault?: Fault,
    more: Fault[] = []
  ) =>
    seen(
      [{ epoch: 1, owner: 'n0', by: undefined }, ...claims],
      new Account({
        settings: { durability: 'disk', reclaimAfterMs },
        faults: [fault ?? { kind: 'crash', atMs: 5000, forMs, node: 'n0' }, ...more]
      })
    ).broken()
  const grant = { owner: 'n1', atMs: 22_000 }
  const reclaim = { owner: 'n2', by: 'n2', atMs: 22_500 }
  assert.equal(run([grant, reclaim], 15_000), [])
  assert.equal(run([grant, reclaim], 15_000, 0), ['two-grants'], 'nobody is ever given up')
  assert.equal(run([grant, reclaim], 5000), ['two-grants'], 'it was not away for long enough')
  assert.equal(run([grant, reclaim], 25_000), ['two-grants'], 'it was not back yet')
  const pause: Fault = { kind: 'pause', atMs: 5000, forMs: 25_000, node: 'n0' }
  const killed: Fault = { kind: 'crash', atMs: 6000, forMs: 14_000, node: 'n0' }
  assert.equal(run([grant, reclaim], 0, 10_000, pause), ['two-grants'], 'it hung still')
  assert.equal(
    run([grant, reclaim], 0, 10_000, pause, [killed]),
    [],
    'the process that hung was killed, and the next one does not'
  )
  const swizzle: Fault = { kind: 'swizzle', atMs: 5000, forMs: 25_000, nodes: ['n0'] }
  assert.equal(run([grant, reclaim], 0, 10_000, swizzle), [], 'its links are back before the fault is over')
  assert.equal(run([grant, { ...reclaim, atMs: 40_000 }], 15_000), ['two-grants'], 'everybody knows that it is back')
  assert.equal(
    run(
      [
        { ...grant, atMs: 6000 },
        { ...reclaim, atMs: 18_000 }
      ],
      15_000
    ),
    [],
    'nobody heard of it any more'
  )
  assert.equal(
    run(
      [
        { ...grant, atMs: 16_000 },
        { ...reclaim, atMs: 18_000 }
      ],
      15_000
    ),
    ['two-grants'],
    'for too long'
  )
  assert.equal(run([{ ...grant, by: 'n1' }, reclaim], 15_000), ['two-grants'], 'two have taken it over')
  const cut: Fault = { kind: 'crash', atMs: 21_000, forMs: 5000, node: 'n1' }
  const isolated = (claims: Partial<ClaimSeen>[], node: string) =>
    run(claims, 15_000, 10_000, undefined, [{ ...cut, node }])
  assert.equal(isolated([{ ...grant, by: 'n1' }, reclaim], 'n1'), [], 'nobody could hear of the first one')
  assert.equal(isolated([{ ...grant, by: 'n1' }, reclaim], 'n4'), ['two-grants'], 'they could')
  assert.equal(
    isolated(
      [
        { ...grant, by: 'n1' },
        { ...grant, by: 'n1', owner: 'n2' }
      ],
      'n1'
    ),
    ['two-grants'],
    'it signed both'
  )
  assert.equal(run([grant, { ...grant, owner: 'n2' }], 15_000), ['two-grants'], 'it has signed twice')
})

test('two-grants: what two owners give away is not reported again', () => {
  const claims = [
    { owner: 'n1' },
    { owner: 'n2', atMs: 2000 },
    { epoch: 3, owner: 'n0', by: 'n1' },
    { epoch: 3, owner: 'n4', by: 'n2' }
  ]
  assert.is(seen(claims).check().length, 1)
  assert.equal(seen(claims, new Account().wipe('n0', 1500)).broken(), [])
  assert.equal(seen(claims.slice(2)).broken(), ['two-grants'])
})

test('two-members-flipped: of each list one member at most, at once', () => {
  const before = ['n0', 'n1', 'n2']
  assert.equal(handed(), [])
  assert.equal(handed({ before, after: ['n4', 'n1', 'n2'] }, { before, after: ['n0', 'n1', 'n4'] }), [])
  assert.equal(handed({ before, after: ['n2', 'n0', 'n1'] }), [], 'the order alone')
  assert.equal(handed({ before, after: ['n0', 'n1'] }, { before: ['n0', 'n1'], after: before }), [])
  assert.equal(handed({ before, after: before }, { before, after: ['n4', 'n5', 'n2'] }), [
    'two-members-flipped: n0 gave 5 to n4 at 1.000 s: the list of range 1 was n0 n1 n2, and is n4 n5 n2'
  ])
  assert.is(handed({ before, after: ['n0'] }).length, 1)
  assert.is(handed({ before: ['n0'], after: before }).length, 1)
})

test.run()
