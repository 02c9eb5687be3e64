/** What is seen of a node's ring: grants that it signs, one change at a time, and every owner that it takes for true. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/claim.ts'
import { RingObserver } from '../../src/sim/ring-observer.ts'
import { EventLog } from '../../src/sim/world/event-log.ts'
import { SimRandom } from '../../src/sim/world/random.ts'
import { World } from '../../src/sim/world/world.ts'

const test = suite('sim: ring observer')

const granted = (range: number, epoch: number, owner: string, by = 'n0'): Claim => ({
  range,
  epoch,
  owner,
  grant: { by, signature: new Uint8Array() }
})

/** A ring of four ranges, all of n0, whose node tells what its test says. */
class Rings {
  readonly observer = new RingObserver(new World(new SimRandom('rings'), new EventLog()))
  #claims = new Map([0, 1, 2, 3].map(range => [range, { range, epoch: 1, owner: 'n0' } as Claim]))
  #listener: (changed: Claim[]) => void = () => {}

  constructor({ node = 'n0', zones = {} }: { node?: string; zones?: Record<string, string> } = {}) {
    this.observer.watch(node, {
      topology: {
        params: { q: 4, n: 2 },
        view: { toLayout: () => ({ zoneOf: (peerId: string) => zones[peerId] ?? '' }) },
        claims: () => [...this.#claims.values()],
        onChange: (listener: (changed: Claim[]) => void) => {
          this.#listener = listener
        }
      }
    } as never)()
  }

  merge(...claims: Claim[]): this {
    for (const claim of claims) this.#claims.set(claim.range, claim)
    return this
  }

  tell(...claims: Claim[]): this {
    this.#listener(claims)
    return this
  }

  get handed(): string[] {
    return this.observer.found.handed.map(
      ({ node, flips, lists }) =>
        `${node} ${flips.map(({ range, to }) => `${range}>${to}`)}: ${lists.map(list => `${list.range} ${list.before.join('')}>${list.after.join('')}`).join(', ')}`
    )
  }
}

test('notes every owner of every epoch once, and who granted it', () => {
  const first = granted(2, 2, 'n1')
  const { found } = new Rings().merge(first).tell(first).tell().observer
  assert.equal(
    found.claims.map(({ range, epoch, owner, by, node }) => `${range} ${epoch} ${owner} ${by} ${node}`),
    ['0 1 n0 undefined n0', '1 1 n0 undefined n0', '2 1 n0 undefined n0', '3 1 n0 undefined n0', '2 2 n1 n0 n0']
  )
})

test('a grant is told with the lists that it changes', () => {
  const first = granted(3, 2, 'n1')
  assert.equal(new Rings().merge(first).tell(first).handed, ['n0 3>n1: 0 n0>n0n1, 1 n0>n0n1, 2 n0>n0n1, 3 n0>n1n0'])
})

test('lists are those of the zones that the node knows, of members not heard of since its start as well', () => {
  const [first, second] = [granted(1, 2, 'n2'), granted(3, 2, 'n1')]
  const rings = new Rings({ zones: { n0: 'a', n1: 'a', n2: 'b' } }).merge(first).tell(first)
  assert.equal(rings.merge(second).tell(second).handed.slice(1), ['n0 3>n1: 3 n0n2>n1n2'])
})

test('what others did in between is another change, whichever is told first', () => {
  const start = granted(2, 2, 'n1')
  const mine = granted(3, 2, 'n2')
  const other = granted(2, 3, 'n3', 'n1')
  const rings = new Rings().merge(start).tell(start)
  assert.equal(rings.merge(mine).merge(other).tell(other).tell(mine).handed.slice(1), [
    'n0 3>n2: 2 n1n0>n1n2, 3 n0n1>n2n0'
  ])
})

test('grants that come back to a node which forgot them are no news', () => {
  const [first, second] = [granted(2, 2, 'n1'), granted(3, 2, 'n2')]
  const rings = new Rings().merge(first).tell(first).merge(second).tell(second)
  const before = rings.handed.length
  const forgotten = { range: 2, epoch: 1, owner: 'n0' }
  rings
    .merge(forgotten, { ...forgotten, range: 3 })
    .tell()
    .merge(first, second)
    .tell(first, second)
  assert.is(rings.handed.length, before)
})

test('what others granted is not judged by this node', () => {
  const first = granted(2, 2, 'n1')
  assert.equal(new Rings({ node: 'n2' }).merge(first).tell(first).handed, [])
})

test.run()
