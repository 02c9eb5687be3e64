/** What reads may show: `stale-read`, `false-absence`, `resurrected`, `false-sibling`, `phantom`, `expired-read`. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Account, CALM_MS } from './account.ts'

const test = suite('sim/checker: reads')
const T = CALM_MS

/** w0, then w1 that had seen it; both acknowledged by two. */
function twoWrites(plan = {}): Account {
  const account = new Account(plan)
  account.put({ at: T })
  account.put({ at: T + 100, covers: [0] })
  return account
}

test('stale-read: a quorum read shows the last acknowledged write or one that had seen it', () => {
  const fresh = twoWrites()
  fresh.read({ at: T + 50, values: [0] })
  fresh.read({ at: T + 200, values: [1] })
  assert.equal(fresh.end([1]).broken(), [])

  const stale = new Account()
  stale.put({ at: T })
  stale.read({ at: T + 50, values: [] })
  assert.equal(stale.end([0]).broken(), ['stale-read'])
})

test('stale-read: a write that is under way may be shown or not', () => {
  const account = new Account()
  account.put({ at: T, took: 100 })
  account.read({ at: T + 50, took: 100, values: [] })
  account.read({ at: T + 50, took: 100, values: [0] })
  assert.equal(account.end([0]).broken(), [])
})

test('stale-read: what replaced it counts if it began before the read ended, done or not', () => {
  const replaced = (at: number) => {
    const account = new Account()
    account.put({ at: T })
    account.read({ at: T + 100, took: 50, values: [] })
    account.delete({ at, covers: [0], outcome: 'unknown' })
    return account.end([]).broken()
  }
  assert.equal(replaced(T + 140), [])
  assert.equal(replaced(T + 160), ['stale-read'])
})

test('stale-read: not judged below the quorums, for sloppy writes, or where R + W is at most N', () => {
  const stale = (write: object, read: object, plan = {}) => {
    const account = new Account(plan)
    account.put({ at: T, ...write })
    account.read({ at: T + 50, values: [], ...read })
    return account.end([0]).broken()
  }
  assert.equal(stale({}, {}), ['stale-read'])
  assert.equal(stale({ acks: 1 }, {}), [])
  assert.equal(stale({}, { replies: 1 }), [])
  assert.equal(stale({ sloppy: true }, {}), [])
  assert.equal(stale({}, {}, { params: { q: 8, n: 3, r: 1, w: 2 } }), [])
})

test('stale-read: not judged once data may have been destroyed', () => {
  const stale = (strike: (account: Account) => void, durability: 'interval' | 'disk' = 'interval') => {
    const account = new Account({ settings: { durability } })
    account.put({ at: T })
    account.read({ at: T + 5000, values: [] })
    strike(account)
    return account.end([0]).broken()
  }
  assert.equal(
    stale(account => account.cut('n0', T + 1000)),
    []
  )
  assert.equal(
    stale(account => account.cut('n0', T + 1000), 'disk'),
    ['stale-read']
  )
  assert.equal(
    stale(account => account.cut('n0', T + 9000)),
    ['stale-read'],
    'that was later'
  )
  assert.equal(
    stale(account => account.fault({ kind: 'bit-rot', atMs: T - 9000, node: 'n0', bits: 1 })),
    []
  )
  assert.equal(
    stale(account => account.fault({ kind: 'crash', atMs: T, forMs: 9, node: 'n0' })),
    ['stale-read']
  )
})

test('stale-read-moving: its own name while a node joins, and can be switched off', () => {
  const account = new Account()
  account.plan.nodes[2].joinAtMs = T - 1000
  account.put({ at: T })
  account.read({ at: T + 50, values: [] })
  account.end([0])
  assert.equal(account.broken(), ['stale-read-moving'])
  assert.equal(account.broken({ 'stale-read-moving': false }), [])
})

test('false-absence: after a wipe no read says that there is no such key', () => {
  const absent = (change: (account: Account) => void = () => {}, wipes = ['n1']) => {
    const account = new Account()
    account.put({ at: T })
    for (const node of wipes) account.wipe(node, T + 1000)
    change(account)
    account.read({ at: T + 2000, values: [] })
    return account.end([0]).broken()
  }
  assert.equal(absent(), ['false-absence'])
  assert.equal(absent(undefined, ['n0', 'n1']), [], 'both copies that acknowledged it')
  assert.equal(
    absent(account => void account.delete({ at: T + 1500, outcome: 'unknown' })),
    [],
    'it may have been deleted'
  )
  const deleted = (at: number, outcome?: 'unknown') => {
    const account = new Account()
    account.delete({ at, ...(outcome && { outcome }) })
    account.put({ at: T })
    account.wipe('n1', T + 1000)
    account.read({ at: T + 2000, values: [] })
    return account.end([1]).broken()
  }
  assert.equal(deleted(T - 1000), ['false-absence'], 'an old tombstone is no answer to what came after it')
  assert.equal(deleted(T - 1000, 'unknown'), [], 'which may be done late')
  assert.equal(deleted(T), [], 'at the same time')

  const stale = twoWrites().wipe('n1', T + 1000)
  stale.read({ at: T + 2000, values: [0] })
  assert.equal(stale.end([1]).broken(), [], 'an older value is no absence')
})

test('resurrected: what an acknowledged delete removed is not read again', () => {
  const deleted = (acks = 2) => {
    const account = new Account()
    account.put({ at: T })
    account.delete({ at: T + 100, covers: [0], acks })
    return account
  }
  assert.equal(deleted().end([]).broken(), [])
  assert.equal(deleted().end([0]).broken(), ['resurrected'])

  const meanwhile = deleted()
  meanwhile.read({ at: T + 105, took: 9, values: [0] })
  assert.equal(meanwhile.end([]).broken(), [], 'the delete was under way')
  const early = deleted()
  early.read({ at: T + 200, values: [0] })
  assert.equal(early.end([]).broken(), ['resurrected'])
  const weak = deleted(1)
  weak.read({ at: T + 200, values: [0] })
  assert.equal(weak.end([]).broken(), [], 'a read need not meet what one acknowledged')
})

test('resurrected: also what was replaced through others, and what one replica still holds', () => {
  const account = twoWrites()
  account.put({ at: T + 200, covers: [1], outcome: 'unknown' })
  account.put({ at: T + 300, covers: [2] })
  account.end([3], found => found.replicas[2].values.push(0))
  assert.equal(account.broken(), ['resurrected'])
  assert.match(account.check()[0].message, /w0 of k0 is back: the replica of n2 shows it, though w[13], /)
})

test('resurrected: excused when the delete itself was lost with its copies, or never acknowledged', () => {
  const account = new Account()
  account.put({ at: T, acks: 3 })
  account.delete({ at: T + 100, covers: [0] })
  account.wipe('n0', T + 200).wipe('n1', T + 200)
  assert.equal(account.end([0]).broken(), [])

  const unknown = new Account()
  unknown.put({ at: T })
  unknown.delete({ at: T + 100, covers: [0], outcome: 'unknown' })
  assert.equal(unknown.end([0]).broken(), [])
})

test('resurrected: a blind delete removes what was acknowledged before it began, for certain', () => {
  const blind = (at: number, readReplies = 2) => {
    const account = new Account()
    account.put({ at: T })
    account.delete({ at, covers: 'unknown', client: 1, readReplies })
    return account.end([0]).broken()
  }
  assert.equal(blind(T + 100), ['resurrected'])
  assert.equal(blind(T + 5), [], 'the put was under way')
  assert.equal(blind(T + 100, 1), [], 'others stood in where it read')
})

test('resurrected: a late second try of a put may come back under a dot that nobody had seen', () => {
  const account = (dot: string) => {
    const made = new Account()
    made.put({ at: T, dot: 'a:1' })
    made.delete({ at: T + 100, covers: [0] })
    made.read({ at: made.plan.healAtMs + 5000, client: -1, values: [0], dots: [dot] })
    return made.end([0]).broken()
  }
  assert.equal(account('a:1'), ['resurrected'])
  assert.equal(account('b:7'), [])
})

test('false-sibling: concurrent values may stand together, what was seen and its successor may not', () => {
  const together = (covers: number[][], values: number[], dots?: string[]) => {
    const account = new Account({ params: { q: 8, n: 3, r: 1, w: 1 } })
    covers.forEach((seen, i) => void account.put({ at: T + 100 * i, client: i, covers: seen, outcome: 'unknown' }))
    covers.forEach((seen, i) => {
      if (seen.length > 0)
        account.read({ at: T + 100 * i - 20, client: i, values: seen, dots: seen.map(id => `a:${id}`) })
    })
    account.read({ at: T + 1000, values, dots: dots ?? values.map(id => `a:${id}`) })
    return account.end([covers.length - 1]).broken({ 'dropped-sibling': false })
  }
  assert.equal(together([[], []], [0, 1]), [])
  assert.equal(together([[], [0]], [0, 1]), ['false-sibling'])
  assert.equal(together([[], [0], [1], [2]], [3, 0]), ['false-sibling'])
  assert.equal(together([[], [0], [1], [2]], [3, 0], ['a:3', 'b:1']), [], 'a second dot of w0')
  assert.equal(together([[]], [0, 0], ['a:1', 'b:1']), ['false-sibling'], 'one value twice')
})

test('phantom: nothing is shown that nobody wrote, that belongs to another key, or before it was sent', () => {
  const shown = (id: number, at = T + 500) => {
    const account = new Account()
    account.put({ at: T, key: 'k1' })
    account.put({ at: T + 200, outcome: 'unknown' })
    account.delete({ at: T, outcome: 'unknown' })
    account.read({ at, values: [id] })
    return account.end([0], undefined, 'k1').broken({ 'dropped-sibling': false })
  }
  assert.equal(shown(1), [])
  assert.equal(shown(0), ['phantom'])
  assert.equal(shown(2), ['phantom'])
  assert.equal(shown(9), ['phantom'])
  assert.equal(shown(1, T + 100), ['phantom'])
})

test('phantom: in what is found in the end, too', () => {
  const account = new Account()
  account.put({ at: T })
  assert.equal(account.end([0, 7]).broken(), ['phantom'])
})

test('expired-read: shown until it has expired by all clocks', () => {
  const shown = (skewMs: number) => {
    const account = new Account()
    account.plan.nodes[0].skewMs = skewMs
    account.put({ at: T, expiresAtMs: T + 5000 })
    account.read({ at: T + 6000, values: [0] })
    return account.end([]).broken()
  }
  assert.equal(shown(0), ['expired-read'])
  assert.equal(shown(-2000), [])
})

test.run()
