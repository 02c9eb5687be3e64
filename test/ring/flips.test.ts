import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import { chooseFlips, flipEffects } from '../../src/ring/flips.ts'
import { type Flip, RingView } from '../../src/ring/ring-view.ts'
import { type Ring, ringArb, zoneOf } from './rings.ts'

const test = suite('ring/flips')

const flipsArb = (q: number): fc.Arbitrary<Flip[]> =>
  fc.array(
    fc.tuple(fc.nat(q - 1), fc.constantFrom('p0', 'p3', 'p8', 'new')).map(([range, to]) => ({ range, to })),
    { maxLength: 8 }
  )
const caseArb = ringArb.chain(ring =>
  fc.tuple(
    fc.constant(ring),
    flipsArb(ring.owners.length),
    fc.array(fc.nat(ring.owners.length - 1), { maxLength: 4 }).map(ranges => new Set(ranges))
  )
)

const viewOf = (ring: Ring) => new RingView(ring.owners, zoneOf(ring), ring.n)

/** Every list before and after, compared one by one. */
function plainEffects(ring: Ring, flips: readonly Flip[]) {
  const owners = [...ring.owners]
  for (const { range, to } of flips) owners[range] = to
  const before = viewOf(ring)
  const after = viewOf({ ...ring, owners })
  return owners
    .map((_, range) => {
      const was = before.preferenceList(range)
      const is = after.preferenceList(range)
      const entering = is.filter(peer => !was.includes(peer))
      return { range, before: was, after: is, entering, leaving: was.filter(peer => !is.includes(peer)) }
    })
    .filter(({ entering, leaving }) => entering.length + leaving.length > 0)
}

test('the effects are those of comparing every list', () => {
  fc.assert(
    fc.property(caseArb, ([ring, flips]) => {
      assert.equal(flipEffects(viewOf(ring), flips), plainEffects(ring, flips))
    }),
    { numRuns: 1000 }
  )
})

test('a flip between strangers of a large ring touches N lists', () => {
  const owners = Array.from({ length: 64 }, (_, range) => `p${range % 16}`)
  const view = new RingView(owners, () => '', 3)
  const effects = flipEffects(view, [{ range: 0, to: 'new' }])
  assert.equal(
    effects.map(({ range }) => range),
    [0, 62, 63]
  )
  assert.equal(effects[0], {
    range: 0,
    before: ['p0', 'p1', 'p2'],
    after: ['new', 'p1', 'p2'],
    entering: ['new'],
    leaving: ['p0']
  })
})

test('a third node moves up where the new owner is on the list already', () => {
  const owners = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  const effects = flipEffects(new RingView(owners, () => '', 3), [{ range: 0, to: 'b' }])
  assert.equal(
    effects.map(({ range, entering, leaving }) => `${range} +${entering} -${leaving}`),
    ['0 +d -a', '6 +b -a', '7 +c -a']
  )
})

test('a flip of a range that is not there is a defect', () => {
  const view = new RingView(['a', 'b', 'c', 'd'], () => '', 2)
  for (const range of [4, -1, 0.5]) {
    assert.throws(
      () => flipEffects(view, [{ range, to: 'a' }]),
      (error: unknown) => isCoterieError(error, 'internal')
    )
    assert.equal(chooseFlips(view, [{ range, to: 'a' }]), [])
  }
})

test('the chosen flips together change at most one member of any list, and none of a held one', () => {
  fc.assert(
    fc.property(caseArb, ([ring, asked, held]) => {
      const chosen = chooseFlips(viewOf(ring), asked, held)
      for (const { range, entering, leaving } of plainEffects(ring, chosen)) {
        assert.ok(entering.length <= 1 && leaving.length <= 1, `range ${range}: +${entering} -${leaving}`)
        assert.not(held.has(range), `range ${range} is held`)
      }
      assert.is(new Set(chosen.map(({ range }) => range)).size, chosen.length)
      for (const flip of chosen) assert.ok(asked.includes(flip) && ring.owners[flip.range] !== flip.to)
    }),
    { numRuns: 1000 }
  )
})

test('the choice is greedy: no flip left out could have been added where it came', () => {
  fc.assert(
    fc.property(caseArb, ([ring, asked, held]) => {
      const chosen: Flip[] = []
      for (const flip of asked) {
        if (ring.owners[flip.range] === flip.to || chosen.some(({ range }) => range === flip.range)) continue
        const effects = plainEffects(ring, [...chosen, flip])
        const safe = effects.every(
          ({ range, entering, leaving }) => entering.length <= 1 && leaving.length <= 1 && !held.has(range)
        )
        if (safe) chosen.push(flip)
      }
      assert.equal(chooseFlips(viewOf(ring), asked, held), chosen)
    }),
    { numRuns: 500 }
  )
})

test('two owners do not leave the ring, and so every list, at once', () => {
  const view = new RingView(['a', 'a', 'b', 'a', 'a', 'a', 'c', 'a'], () => '', 3)
  const asked = [
    { range: 2, to: 'a' },
    { range: 6, to: 'a' }
  ]
  assert.equal(chooseFlips(view, asked), [asked[0]])
  assert.ok(flipEffects(view, asked).every(({ leaving, entering }) => leaving.length === 2 && entering.length === 0))
})

test('two neighbouring ranges do not go to two thieves at once', () => {
  const owners = Array.from({ length: 16 }, (_, range) => `p${range % 8}`)
  const view = new RingView(owners, () => '', 3)
  const asked = [
    { range: 4, to: 'x' },
    { range: 5, to: 'y' },
    { range: 9, to: 'y' }
  ]
  assert.equal(chooseFlips(view, asked), [asked[0], asked[2]])
  assert.equal(chooseFlips(view, asked, new Set([7])), [asked[0]])
})

test.run()
