/** The story of a violation: what a person needs to see how it came about, and no more. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { tellStory } from '../../src/sim/story.ts'
import { Account, CALM_MS } from './checker/account.ts'

const test = suite('sim: story')
const T = CALM_MS

function storyOf(account: Account): string[] {
  const [violation] = account.check()
  return tellStory(violation, account.plan, account.history, account.findings)
}

test('a lost write: who wrote what, who had seen it, what failed, what was read and what is held', () => {
  const account = new Account()
  account.put({ at: T })
  account.read({ at: T + 50, client: 1, values: [0] })
  account.put({ at: T + 100, client: 1, covers: [0], via: 'n1' })
  account.put({
    at: T + 150,
    client: 2,
    outcome: 'unknown',
    error: 'timeout: no answer within 5000 ms',
    via: undefined
  })
  account.read({ at: T + 200, client: 0, values: [1] })
  account.wipe('n2', T + 300)
  account.read({ at: T + 400, client: 1, values: [], via: 'n2' })
  account.put({ at: T, key: 'k1' })
  assert.equal(storyOf(account.end([2])), [
    '   60.000 s  client 0 puts w0 into k0, having seen nothing: acknowledged by 2 through n0 at 60.010 s',
    '   60.050 s  client 1 reads k0 through n0 (r0) and sees w0, from 2 at 60.060 s',
    '   60.100 s  client 1 puts w1 into k0, having seen w0: acknowledged by 2 through n1 at 60.110 s',
    '   60.150 s  client 2 puts w2 into k0, having seen nothing: nobody knows whether it was done: timeout: no answer within 5000 ms at 60.160 s',
    '   60.200 s  client 0 reads k0 through n0 (r1) and sees w1, from 2 at 60.210 s',
    '   60.300 s  ** n2 loses its directory, until 61.300 s',
    '   60.400 s  client 1 reads k0 through n2 (r2) and sees no value, from 2 at 60.410 s',
    '  200.000 s  ** all faults are over',
    'in the end, k0:',
    '  replicas n0, n1, n2: w2',
    '  read through n0, n1, n2: w2',
    'lost-write: w1 of k0, acknowledged at 60.110 s by 2 (n1 answered), is lost: the key holds w2; nobody had seen it; copies that may have been destroyed: n2'
  ])
})

test('a delete, a coordinator that reads, and replicas that differ', () => {
  const account = new Account()
  account.put({ at: T })
  account.delete({ at: T + 100, covers: 'unknown', client: 1 })
  account.end([], ({ replicas, reads }) => {
    replicas[2] = { ...replicas[2], values: [0], digest: 'other', synced: false }
    reads[1].error = 'not-available: too few'
  })
  const story = storyOf(account)
  assert.ok(story.some(line => line.includes('client 1 deletes k0 (w1), without a context: what a read finds')))
  assert.ok(story.includes('  replicas n0, n1: no value'))
  assert.ok(story.includes('  replica n2: w0 (syncing)'))
  assert.ok(story.includes('  read through n1: not-available: too few'))
})

test('a violation without a key tells the faults', () => {
  const account = new Account().fault({ kind: 'partition', atMs: T, forMs: 1000, groups: [['n0'], ['n1', 'n2']] })
  account.findings.nodes[1].owners[2] = '3 n1'
  assert.equal(storyOf(account), [
    '   60.000 s  ** no links between n0 | n1 n2 | the others, until 61.000 s',
    'owners: n0 and n1 differ on range 2: "1 n2" and "3 n1" (epoch, owner)'
  ])
})

test('a long history makes a short story', () => {
  const account = new Account()
  for (let i = 0; i < 300; i++) {
    account.put({ at: T + 20 * i, client: i % 5, covers: i % 3 === 0 && i > 0 ? [i - 1] : [] })
    account.read({ at: T + 20 * i + 12, took: 2, client: i % 7, values: [i] })
    if (i % 10 === 0) account.fault({ kind: 'crash', atMs: T + 20 * i, forMs: 10, node: 'n1' })
  }
  const story = storyOf(account.end([299], found => (found.replicas[0].error = 'damaged:\n'.repeat(100))))
  assert.ok(story.length <= 30, `${story.length} lines`)
  for (const line of story) assert.ok(line.length < 500 && !line.includes('\n'), line)
})

test('an operation that was never answered, and one that failed', () => {
  const account = new Account()
  account.read({ at: T, outcome: 'pending', endMs: undefined, values: [] })
  assert.match(storyOf(account)[0], /client 0 reads k0 through n0 \(r0\): never answered/)

  const calm = new Account()
  calm.plan.links.loss = 0
  calm.read({ at: T, outcome: 'failed', error: 'timeout: late', values: [] })
  assert.match(storyOf(calm)[0], /client 0 reads k0 through n0 \(r0\): timeout: late at 60.010 s/)
})

test.run()
