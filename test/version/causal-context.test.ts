import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  covers,
  EMPTY_CONTEXT,
  entryCount,
  equals,
  join,
  normalise,
  withDot,
  withDotsUpTo
} from '../../src/version/causal-context.ts'
import { ACTORS, contextArb, dotArb } from './arbitraries.ts'

const test = suite('version/causal-context')
const [a] = ACTORS

const dotsUpTo = (highest: number) =>
  ACTORS.flatMap(actor => Array.from({ length: highest }, (_, index) => ({ actor, counter: index + 1 })))
const ALL = dotsUpTo(7)

test('join is the union of two sets of dots', () => {
  fc.assert(
    fc.property(contextArb, contextArb, (one, other) => {
      const both = join(one, other)
      for (const dot of ALL) assert.is(covers(both, dot), covers(one, dot) || covers(other, dot))
      assert.ok(equals(both, join(other, one)))
      assert.ok(equals(join(both, one), both))
    })
  )
})

test('equal sets have equal forms, and others are not equal', () => {
  fc.assert(
    fc.property(contextArb, contextArb, (one, other) => {
      const same = ALL.every(dot => covers(one, dot) === covers(other, dot))
      assert.is(equals(one, other), same)
      const rebuilt = normalise(
        [],
        ALL.filter(dot => covers(one, dot))
      )
      assert.ok(equals(rebuilt, one))
      assert.is(entryCount(rebuilt), entryCount(one))
    })
  )
})

test('withDot adds one dot and changes nothing else', () => {
  fc.assert(
    fc.property(contextArb, dotArb, (context, dot) => {
      const before = ALL.map(each => covers(context, each))
      const after = withDot(context, dot)
      ALL.forEach((each, index) => {
        const added = each.actor === dot.actor && each.counter === dot.counter
        assert.is(covers(after, each), before[index] || added)
        assert.is(covers(context, each), before[index], 'the argument is as it was')
      })
    })
  )
})

test('a context after a blind write reaches one dot, a key state all before it', () => {
  const dot = { actor: a, counter: 5 }
  assert.not(covers(withDot(EMPTY_CONTEXT, dot), { actor: a, counter: 4 }))
  assert.ok(covers(withDotsUpTo(EMPTY_CONTEXT, dot), { actor: a, counter: 4 }))
  assert.not(covers(withDotsUpTo(EMPTY_CONTEXT, dot), { actor: a, counter: 6 }))
})

test('cloud dots that the vector reaches are absorbed, one after another', () => {
  const dots = [5, 3, 2, 3].map(counter => ({ actor: a, counter }))
  const apart = normalise([], dots)
  assert.is(apart.cloud.length, 3)
  const filled = withDot(apart, { actor: a, counter: 1 })
  assert.is(filled.vector.get(a), 3)
  assert.equal(filled.cloud, [{ actor: a, counter: 5 }])
  assert.equal(withDotsUpTo(filled, { actor: a, counter: 4 }).cloud, [])
})

test.run()
