/** What is found in the end, and what must come to pass: the rules that look at the cluster and not at one key's story. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RULES } from '../../../src/sim/checker/check.ts'
import type { KeyFindings, NodeFindings } from '../../../src/sim/history.ts'
import { Account, CALM_MS } from './account.ts'

const test = suite('sim/checker: cluster')
const T = CALM_MS

function found(change: (found: KeyFindings) => void): string[] {
  const account = new Account()
  account.put({ at: T })
  account.put({ at: T + 100, client: 1, expiresAtMs: 900_000 })
  return account.end([0, 1], change).broken()
}

function node(change: (node: NodeFindings) => void, account = new Account()): string[] {
  change(account.findings.nodes[1])
  return account.broken()
}

test('diverged: copies are synced, complete in number and equal, and all nodes read what they hold', () => {
  assert.equal(
    found(() => {}),
    []
  )
  assert.equal(
    found(({ replicas }) => (replicas[1].digest = 'other')),
    ['diverged']
  )
  assert.equal(
    found(({ replicas }) => (replicas[1].synced = false)),
    ['diverged']
  )
  assert.equal(
    found(({ replicas }) => (replicas[1].error = 'unreachable: gone')),
    ['diverged']
  )
  assert.equal(
    found(({ replicas }) => void replicas.pop()),
    ['diverged']
  )
  assert.equal(
    found(({ reads }) => (reads[1].values = [1])),
    ['diverged']
  )
  assert.equal(
    found(({ replicas }) => replicas.forEach(replica => void (replica.values = [0]))),
    ['diverged']
  )
})

test('diverged: order does not matter, nor what one clock takes for expired', () => {
  assert.equal(
    found(({ reads }) => reads[1].values.reverse()),
    []
  )
  assert.equal(
    found(({ reads }) => (reads[1].values = [0])),
    []
  )
})

test('unreadable: a read that fails through one node', () => {
  assert.equal(
    found(({ reads }) => (reads[1] = { via: 'n1', values: [], error: 'timeout: late' })),
    ['unreadable']
  )
})

test('owners: one view, of nodes that are known, of every range', () => {
  assert.equal(
    node(() => {}),
    []
  )
  assert.equal(
    node(({ owners }) => (owners[3] = '2 n0')),
    ['owners']
  )
  assert.equal(
    node(({ owners }) => void owners.pop()),
    ['owners']
  )
  const strange = new Account()
  for (const { owners } of strange.findings.nodes) owners[0] = '2 n9'
  assert.equal(strange.broken(), ['owners'])
})

test('unbounded: timers, files, streams, requests and work of a node at rest', () => {
  assert.equal(
    node(one => (one.pendingEvents = 10_000)),
    ['unbounded']
  )
  assert.equal(
    node(one => (one.openFiles = 25)),
    ['unbounded']
  )
  assert.equal(
    node(one => (one.openFiles = 24)),
    []
  )
  assert.equal(
    node(one => (one.openStreams = 1000)),
    ['unbounded']
  )
  assert.equal(
    node(({ stats }) => (stats.inFlight = 100)),
    ['unbounded']
  )
  assert.equal(
    node(({ stats }) => (stats.background = { 'anti-entropy': 2, 'read repair': 40 })),
    ['unbounded']
  )
  assert.equal(
    node(({ stats }) => (stats.background = { 'anti-entropy': 2 })),
    []
  )
  assert.equal(
    node(({ stats }) => (stats.hints = 1)),
    ['unbounded']
  )
  assert.equal(
    node(one => (one.stats = {})),
    [],
    'what is not reported is not judged'
  )
})

test('unbounded: actors of a context; restarts allow for more', () => {
  const actors = (count: number, restarts = 0) => {
    const account = new Account()
    account.put({ at: T })
    for (let i = 0; i < restarts; i++) account.fault({ kind: 'crash', atMs: T + 100 + i, forMs: 1, node: 'n0' })
    return account.end([0], ({ replicas }) => (replicas[0].actors = count)).broken()
  }
  assert.equal(actors(23), [])
  assert.equal(actors(24), ['unbounded'])
  assert.equal(actors(24, 1), [])
})

test('not-settled: says what has not, and of which key', () => {
  const account = new Account()
  account.findings.settledAfterMs = undefined
  account.findings.unsettled = ['replicas of k3 differ']
  assert.equal(account.check(), [
    { rule: 'not-settled', message: '100.000 s after the healing: replicas of k3 differ', key: 'k3' }
  ])
})

test('never-answered: an operation that hangs', () => {
  const account = new Account()
  account.read({ at: T, outcome: 'pending', endMs: undefined })
  assert.equal(account.broken(), ['never-answered'])
})

test('refused-in-calm: an error without a fault; not while a node joins, nor of a key over its limits', () => {
  const failed = (change: (account: Account) => void, error = 'not-available: too few') => {
    const account = new Account()
    account.plan.links.loss = 0
    account.put({ at: T, outcome: 'unknown', error })
    change(account)
    return account.broken()
  }
  assert.equal(
    failed(() => {}),
    ['refused-in-calm']
  )
  assert.equal(
    failed(() => {}, 'too-many-siblings: 100 of them'),
    []
  )
  assert.equal(
    failed(({ plan }) => (plan.nodes[2].joinAtMs = T - 1000)),
    []
  )
  assert.equal(
    failed(({ plan }) => (plan.links.loss = 0.01)),
    []
  )
  assert.equal(
    failed(account => account.fault({ kind: 'pause', atMs: 1, forMs: 1, node: 'n0' })),
    []
  )
})

test('failed-after-heal: an error after the time to settle is over', () => {
  const failed = (at: number) => {
    const account = new Account().fault({ kind: 'pause', atMs: 1, forMs: 1, node: 'n0' })
    account.read({ at, outcome: 'failed', error: 'timeout: late' })
    return account.broken()
  }
  assert.equal(failed(250_000), [])
  assert.equal(failed(300_001), ['failed-after-heal'])
})

test('every rule has a name of its own, a promise and a source, and can be switched off', () => {
  assert.is(new Set(RULES.map(({ name }) => name)).size, RULES.length)
  for (const { name, what, source } of RULES) {
    assert.match(name, /^[a-z]+(-[a-z]+)*$/)
    assert.ok(what.length > 20 && /design|failures|docs/.test(source), name)
  }
  const account = new Account()
  account.put({ at: T })
  account.end([])
  assert.equal(account.broken(Object.fromEntries(RULES.map(({ name }) => [name, false]))), [])
})

test('of one rule, ten violations are enough', () => {
  const account = new Account()
  for (let i = 0; i < 50; i++) account.put({ at: T + i, client: i })
  assert.is(account.end([]).check().length, 10)
})

test.run()
