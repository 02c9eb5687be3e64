/** `lost-write` and `dropped-sibling`: what is gone, and what may be. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Durability } from '../../../src/config.ts'
import { Account, CALM_MS } from './account.ts'

const test = suite('sim/checker: lost writes')
const T = CALM_MS
const UNKNOWN = { outcome: 'unknown' } as const

test('a value that is there is not lost; one that is gone without a successor is', () => {
  const kept = new Account()
  kept.put({ at: T })
  assert.equal(kept.end([0]).broken(), [])

  const lost = new Account()
  lost.put({ at: T })
  assert.equal(lost.end([]).broken(), ['lost-write'])
  assert.match(lost.check()[0].message, /w0 of k0, acknowledged at 60\.010 s by 2 .* is lost: the key holds none/)
})

test('whether an unacknowledged write is there is all the same', () => {
  const account = new Account()
  account.put({ at: T, ...UNKNOWN })
  account.put({ at: T + 100, outcome: 'pending', endMs: undefined })
  assert.equal(account.end([]).broken({ 'never-answered': false }), [])
})

test('a sibling is lost when the write that stands there had not seen it', () => {
  const account = new Account()
  account.put({ at: T })
  account.put({ at: T + 1, client: 1 })
  const [{ rule, writes }] = account.end([1]).check()
  assert.is(rule, 'lost-write')
  assert.equal(writes, [0, 1])
})

test('a chain of writes that had each seen the one before replaces it, tried or acknowledged', () => {
  const account = new Account()
  account.put({ at: T })
  account.put({ at: T + 100, covers: [0], ...UNKNOWN })
  account.put({ at: T + 200, covers: [1] })
  assert.equal(account.end([2]).broken(), [])
})

test('a chain that leads to nothing excuses nothing, and is told once, from its end', () => {
  const account = new Account()
  account.put({ at: T })
  account.put({ at: T + 100, covers: [0] })
  account.put({ at: T + 200, covers: [1], ...UNKNOWN })
  const violations = account.end([]).check()
  assert.equal(
    violations.map(({ rule, writes }) => [rule, writes]),
    [['lost-write', [1, 2]]]
  )
})

test('a delete replaces what it had seen, though nobody knows whether it was done', () => {
  const account = new Account()
  account.put({ at: T })
  account.delete({ at: T + 100, covers: [0], ...UNKNOWN })
  assert.equal(account.end([]).broken(), [])
})

test('a delete does not replace a sibling that it had not seen', () => {
  const account = new Account()
  account.put({ at: T })
  account.put({ at: T + 10, client: 1 })
  account.delete({ at: T + 100, covers: [0] })
  assert.equal(account.end([]).broken(), ['lost-write'])
})

test('a blind delete may have read what was sent before it ended, and nothing later', () => {
  const before = new Account()
  before.delete({ at: T, took: 500, covers: 'unknown' })
  before.put({ at: T + 400, client: 1 })
  assert.equal(before.end([]).broken(), [])

  const later = new Account()
  later.delete({ at: T, took: 500, covers: 'unknown' })
  later.put({ at: T + 600, client: 1 })
  assert.equal(later.end([]).broken(), ['lost-write'])

  const unknown = new Account()
  unknown.delete({ at: T, took: 500, covers: 'unknown', ...UNKNOWN })
  unknown.put({ at: T + 600, client: 1 })
  assert.equal(unknown.end([]).broken(), [], 'one that failed may be done at any later time')
})

test('an expired value, and what it replaced, may be gone; one that has not expired may not', () => {
  const gone = new Account()
  gone.put({ at: T })
  gone.put({ at: T + 100, covers: [0], expiresAtMs: T + 5000 })
  assert.equal(gone.end([]).broken(), [])

  const early = new Account()
  early.put({ at: T, expiresAtMs: 3_600_000 })
  assert.equal(early.end([]).broken(), ['lost-write'])

  const nodes = early.plan.nodes.map((node, i) => (i === 1 ? { ...node, skewMs: 3_600_000 } : node))
  const skewed = new Account({ nodes })
  skewed.put({ at: T, expiresAtMs: 3_600_000 })
  assert.equal(skewed.end([]).broken(), [], 'by the clock of n1 it has')
})

test('as many lost directories as acknowledged it excuse it; fewer, the same node twice or earlier ones do not', () => {
  const lost = (wipes: [string, number][], acks = 2) => {
    const account = new Account()
    account.put({ at: T, acks })
    for (const [node, atMs] of wipes) account.wipe(node, atMs)
    return account.end([]).broken()
  }
  assert.equal(
    lost([
      ['n0', T + 100],
      ['n1', T + 9000]
    ]),
    []
  )
  assert.equal(lost([['n0', T + 100]]), ['lost-write'])
  assert.equal(lost([['n0', T + 100]], 1), [])
  assert.equal(
    lost([
      ['n0', T + 100],
      ['n0', T + 9000]
    ]),
    ['lost-write']
  )
  assert.equal(
    lost([
      ['n0', T - 100],
      ['n1', T + 9000]
    ]),
    ['lost-write']
  )
  assert.equal(
    lost(
      [
        ['n0', T + 100],
        ['n1', T + 200]
      ],
      3
    ),
    ['lost-write']
  )
})

test('a disk that is set up to fail may do so at any time', () => {
  const account = new Account()
  account.fault({ kind: 'bit-rot', atMs: T - 5000, node: 'n0', bits: 1 })
  account.fault({ kind: 'eio', atMs: T - 5000, node: 'n1', operation: 'sync', times: 1 })
  account.put({ at: T })
  assert.equal(account.end([]).broken(), [])
})

test('where fewer nodes stay than acknowledged it, as many lost directories as stay excuse it', () => {
  const run = (leaves: [string, number][]) => {
    const account = new Account()
    for (const [node, atMs] of leaves) account.fault({ kind: 'leave', atMs, node })
    account.wipe('n1', T + 5000)
    account.put({ at: T, acks: 2 })
    return account.end([]).broken()
  }
  assert.equal(run([['n0', T + 100]]), ['lost-write'], 'two stay, and one of them has it')
  assert.equal(
    run([
      ['n0', T + 100],
      ['n2', T - 100]
    ]),
    []
  )
})

test('what a power cut excuses depends on durability and on how long ago the write was acknowledged', () => {
  const lost = (durability: Durability, afterMs: number) => {
    const account = new Account({ settings: { durability } })
    const { endMs } = account.put({ at: T })
    account.cut('n0', endMs! + afterMs).cut('n1', endMs! + afterMs)
    return account.end([]).broken()
  }
  assert.equal(lost('disk', 1), ['lost-write'])
  assert.equal(lost('interval', 90), [])
  assert.equal(lost('interval', 1000), ['lost-write'], '100 ms and two rounds of syncs at 1 ms are long over')
  assert.equal(lost('os', 30_000), [])
  assert.equal(lost('os', 36_000), ['lost-write'])
})

test('a node that hangs, whose disk stalls or that was killed does not sync', () => {
  const lost = (kind: 'pause' | 'disk-stall' | 'crash' | 'bad-links') => {
    const account = new Account({ settings: { durability: 'interval' } })
    account.put({ at: T })
    for (const node of ['n0', 'n1']) {
      const at = { atMs: T + 20, forMs: 5000, node }
      account.fault(kind === 'bad-links' ? { kind, ...at, change: { loss: 0.1 } } : { kind, ...at }).cut(node, T + 5050)
    }
    return account.end([]).broken()
  }
  assert.equal(lost('pause'), [])
  assert.equal(lost('disk-stall'), [])
  assert.equal(lost('crash'), [])
  assert.equal(lost('bad-links'), ['lost-write'])
})

test('nothing is said of what nobody could ask, nor of a cluster that has not settled', () => {
  const unasked = new Account()
  unasked.put({ at: T })
  unasked.end([], found => {
    for (const answer of [...found.reads, ...found.replicas]) answer.error = 'unreachable: gone'
  })
  assert.equal(unasked.broken(), ['diverged', 'unreadable'])

  const unsettled = new Account()
  unsettled.put({ at: T })
  unsettled.findings.settledAfterMs = undefined
  unsettled.findings.unsettled.push('replicas of k0 differ')
  assert.equal(unsettled.end([]).broken(), ['not-settled'])
})

test('a value that was never acknowledged, but shown, goes only by a write that had seen it', () => {
  const account = (change: (account: Account) => void) => {
    const made = new Account()
    made.put({ at: T, ...UNKNOWN })
    made.read({ at: T + 100, values: [0] })
    change(made)
    return made.broken()
  }
  assert.equal(
    account(made => void made.end([])),
    ['dropped-sibling']
  )
  assert.equal(
    account(made => void made.end([0])),
    []
  )
  assert.equal(
    account(made => {
      made.put({ at: T + 200, covers: [0] })
      made.end([1])
    }),
    []
  )
  // A replica shows a write before it is on disk.
  assert.equal(
    account(made => {
      made.fault({ kind: 'crash', atMs: T + 150, forMs: 100, node: 'n2' }).end([])
    }),
    []
  )
  assert.equal(
    account(made => {
      made.fault({ kind: 'pause', atMs: T + 150, forMs: 100, node: 'n2' }).end([])
    }),
    ['dropped-sibling']
  )
})

test.run()
