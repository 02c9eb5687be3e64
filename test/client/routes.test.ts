/** Whom a client asks first. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type MemberDocument, Routes } from '../../src/client/routes.ts'

const test = suite('client/routes')
const ALL = ['a', 'b', 'c', 'd']

/** Four nodes, each the owner of two ranges of eight, N 2: range 0 is with `a` and `b`. `down`: by the word of whom the client asked. */
function routes(down: string[] = []): Routes {
  const it = new Routes()
  const members = ALL.map(
    (peerId): MemberDocument => ({ peerId, status: 'active', alive: !down.includes(peerId), zone: '', addresses: [] })
  )
  const owners = Array.from({ length: 8 }, (_, range) => ({ range, owner: ALL[range % 4]! }))
  it.learn({ q: 8, n: 2, owners }, members)
  return it
}

test('members of the list come first, the fastest before the others; then those that are connected', () => {
  const it = routes()
  it.answered('a', 20, 0)
  it.answered('b', 5, 0)
  assert.equal(it.order(0, ['d'], 0), ['b', 'a', 'd', 'c'])
  assert.equal(it.order(2, ['a'], 0), ['c', 'd', 'a', 'b'])
})

test('one that failed comes last for five seconds, or until it has answered', () => {
  const it = routes()
  it.failed('a', 1000)
  assert.equal(it.order(0, ALL, 5999), ['b', 'c', 'd', 'a'])
  assert.equal(it.order(0, ALL, 6000), ['a', 'b', 'c', 'd'])
  it.failed('a', 7000)
  it.answered('a', 1, 7100)
  assert.is(it.order(0, ALL, 7200).indexOf('a') < 2, true)
})

test('one that another node takes for down comes last, unless it has answered this client of late', () => {
  const it = routes(['a', 'c'])
  assert.equal(it.order(0, ALL, 10_000), ['b', 'd', 'a', 'c'])
  it.answered('a', 1, 10_000)
  assert.equal(it.order(0, ALL, 14_999).slice(0, 2).sort(), ['a', 'b'], 'who says so may be cut off')
  assert.equal(it.order(0, ALL, 15_000), ['b', 'd', 'a', 'c'], 'it may have died since')
  it.answered('a', 1, 16_000)
  it.failed('a', 16_100)
  assert.ok(it.order(0, ALL, 16_200).indexOf('a') >= 2)
})

test.run()
