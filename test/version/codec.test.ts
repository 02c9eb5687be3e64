import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../../src/errors.ts'
import type { CausalContext } from '../../src/version/causal-context.ts'
import {
  decodeBareContext,
  decodeDots,
  decodeState,
  encodeBareContext,
  encodeDots,
  encodeState,
  mayBeDead,
  stateTag
} from '../../src/version/codec.ts'
import { compareDots, type Dot } from '../../src/version/dot.ts'
import { emptyState, isDead, type KeyState, merge } from '../../src/version/key-state.ts'
import { ACTORS, contextArb, idOf, NOW, stateArb } from './arbitraries.ts'

const test = suite('version/codec')
const schema = readFileSync(new URL('../../src/wire/state.proto', import.meta.url), 'utf8')
const KeyStateType = protobuf.parse(schema).root.lookupType('coterie.state.KeyState')

const dotMessage = ({ actor, counter }: Dot) => ({ actor: Buffer.from(actor, 'hex'), counter })
const contextMessage = ({ vector, cloud }: CausalContext) => ({
  vector: Array.from(vector, ([actor, counter]) => ({ actor, counter }))
    .sort(compareDots)
    .map(dotMessage),
  cloud: cloud.map(dotMessage)
})

/** A state as the message that state.proto describes, zeros left out. */
function stateMessage(state: KeyState) {
  return {
    context: contextMessage(state.context),
    siblings: state.siblings.map(({ dot, value, writeId, expiresAtMs, writtenAtMs }) => ({
      dot: dotMessage(dot),
      ...(value && { value }),
      writeId: Buffer.from(writeId, 'hex'),
      ...(expiresAtMs !== 0 && { expiresAtMs }),
      ...(writtenAtMs !== 0 && { writtenAtMs })
    })),
    replaced: state.replaced.map(({ id, dot, atMs }) => ({
      writeId: Buffer.from(id, 'hex'),
      dot: dotMessage(dot),
      ...(atMs !== 0 && { atMs })
    }))
  }
}

/** What the full library makes of a message of the schema. */
const generic = (message: object) => KeyStateType.encode(KeyStateType.create(message)).finish()

function refused(bytes: Uint8Array, why: string): void {
  assert.throws(
    () => decodeState(bytes),
    (error: unknown) => isCoterieError(error, 'protocol'),
    why
  )
}

const dot = (actor: string, counter: number): Dot => ({ actor, counter })
const [a, b] = ACTORS
const sibling = (of: Dot, value?: Uint8Array) => ({
  dot: of,
  value,
  writeId: idOf(of.counter),
  expiresAtMs: 0,
  writtenAtMs: 0
})
const sample: KeyState = {
  context: { vector: new Map([[a, 3]]), cloud: [dot(b, 7)] },
  siblings: [sibling(dot(a, 2), new Uint8Array([1, 2, 3])), sibling(dot(a, 3)), sibling(dot(b, 7), new Uint8Array())],
  replaced: [{ id: idOf(99), dot: dot(a, 1), atMs: NOW }]
}

test('a state survives its bytes, and bytes their state', () => {
  fc.assert(
    fc.property(stateArb, state => {
      const bytes = encodeState(state)
      const back = decodeState(bytes)
      assert.equal(back, { ...state, context: back.context })
      assert.equal(encodeState(back), bytes)
    })
  )
  assert.equal(decodeState(encodeState(sample)), sample)
  assert.equal(decodeState(new Uint8Array()), emptyState())
})

test('a tombstone and an empty value are told apart', () => {
  const { siblings } = decodeState(encodeState(sample))
  assert.is(siblings[1].value, undefined)
  assert.equal(siblings[2].value, new Uint8Array())
})

test('state.proto and the codec agree on every byte', () => {
  fc.assert(
    fc.property(stateArb, state => {
      const bytes = encodeState(state)
      assert.equal(new Uint8Array(generic(stateMessage(state))), bytes)
      assert.equal(encodeState(decodeState(generic(stateMessage(state)))), bytes)
    })
  )
})

test('integers up to 2^53 - 1 survive, larger ones are refused', () => {
  const most = Number.MAX_SAFE_INTEGER
  const large: KeyState = {
    context: { vector: new Map([[a, most]]), cloud: [] },
    siblings: [{ dot: dot(a, most), value: undefined, writeId: idOf(1), expiresAtMs: most, writtenAtMs: most }],
    replaced: []
  }
  assert.equal(decodeState(encodeState(large)), large)
  assert.equal(new Uint8Array(generic(stateMessage(large))), encodeState(large))
  const actor = Buffer.from(a, 'hex')
  for (const bits of ['9007199254740992', '18446744073709551615']) {
    const counter = protobuf.util.LongBits.fromNumber(0)
    const value = BigInt(bits)
    counter.lo = Number(value & 0xffffffffn)
    counter.hi = Number(value >> 32n)
    refused(generic({ context: { vector: [{ actor, counter: counter.toLong(true) }] } }), bits)
  }
})

test('a Buffer in gives plain bytes out, as views', () => {
  const bytes = Buffer.from(encodeState(sample))
  const { value } = decodeState(bytes).siblings[0]
  assert.not(Buffer.isBuffer(value))
  assert.is(value!.buffer, bytes.buffer, 'nothing was copied')
})

test('lists out of order, repeats and dots outside the context are refused', () => {
  const message = stateMessage(sample)
  const change = (part: Partial<ReturnType<typeof stateMessage>>) => generic({ ...message, ...part })
  assert.equal(decodeState(change({})), sample)
  refused(change({ siblings: message.siblings.toReversed() }), 'siblings out of order')
  refused(change({ siblings: [message.siblings[0], ...message.siblings] }), 'a sibling twice')
  refused(change({ replaced: [...message.replaced, ...message.replaced] }), 'a replaced id twice')
  refused(change({ context: { vector: [], cloud: [dotMessage(dot(b, 7))] } }), 'a sibling outside the context')
  const context = (vector: Dot[], cloud: Dot[]) =>
    generic({ context: { vector: vector.map(dotMessage), cloud: cloud.map(dotMessage) } })
  refused(context([dot(b, 1), dot(a, 1)], []), 'vector out of order')
  refused(context([dot(a, 1), dot(a, 2)], []), 'an actor twice')
  refused(context([], [dot(a, 5), dot(a, 4)]), 'cloud out of order')
  refused(context([dot(a, 4)], [dot(a, 3)]), 'a cloud dot inside the vector')
  refused(context([dot(a, 4)], [dot(a, 5)]), 'a cloud dot next to the vector')
})

test('missing and misshapen parts are refused', () => {
  const one = { dot: dotMessage(dot(a, 1)), writeId: Buffer.alloc(8, 1) }
  const context = { vector: [dotMessage(dot(a, 1))] }
  assert.ok(decodeState(generic({ context, siblings: [one] })))
  refused(generic({ context, siblings: [{ ...one, dot: undefined }] }), 'no dot')
  refused(generic({ context, siblings: [{ ...one, writeId: undefined }] }), 'no write id')
  refused(generic({ context, siblings: [{ ...one, writeId: Buffer.alloc(9) }] }), 'a long write id')
  refused(generic({ context: { vector: [{ actor: Buffer.alloc(7), counter: 1 }] } }), 'a short actor')
  refused(generic({ context: { vector: [{ actor: Buffer.alloc(8) }] } }), 'a counter of 0')
})

test('fields of later versions are skipped', () => {
  const writer = new protobuf.Writer()
  const later = writer
    .uint32((15 << 3) | 2)
    .string('later')
    .uint32((16 << 3) | 0)
    .uint32(1)
    .finish()
  assert.equal(decodeState(Buffer.concat([encodeState(sample), later])), sample)
})

test('garbage, cuts and absurd lengths are refused, whatever the bytes', () => {
  const whole = encodeState(sample)
  for (let length = 1; length < whole.length; length++) {
    try {
      // A cut between two fields leaves a smaller message that may stand by itself.
      const { siblings } = decodeState(whole.subarray(0, length))
      assert.ok(siblings.length <= sample.siblings.length)
    } catch (error) {
      assert.ok(isCoterieError(error, 'protocol'), String(error))
    }
  }
  refused(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07), 'a context of 2 GiB')
  refused(Uint8Array.of(0x12, 0x06, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f), 'a value of 4 GiB')
  const entry = [0x0a, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 1]
  assert.ok(decodeState(Uint8Array.of(0x0a, 0x0e, 0x0a, 0x0c, ...entry)))
  refused(Uint8Array.of(0x0a, 0x02, 0x0a, 0x0c, ...entry), 'a field longer than its message')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      try {
        decodeState(bytes)
      } catch (error) {
        assert.ok(isCoterieError(error, 'protocol'), String(error))
      }
    }),
    { numRuns: 2000 }
  )
})

test('a flipped byte never decodes to the same versions', () => {
  const whole = encodeState({ ...sample, replaced: [] })
  for (let index = 0; index < whole.length; index++) {
    const bytes = whole.slice()
    bytes[index] ^= 0x41
    try {
      assert.not.equal(stateTag(decodeState(bytes)), stateTag(sample), `byte ${index}`)
    } catch (error) {
      assert.ok(isCoterieError(error, 'protocol'), `byte ${index}: ${error}`)
    }
  }
})

test('the tag is the checksum of the versions alone', () => {
  const checksum = crc32(encodeState({ ...sample, replaced: [] }))
  assert.is(stateTag(sample) >>> 1, checksum >>> 1)
  assert.is(stateTag(sample), stateTag({ ...sample, replaced: [] }))
  fc.assert(
    fc.property(stateArb, stateArb, (x, y) => {
      assert.is(stateTag(merge(x, y, NOW)), stateTag(merge(y, x, NOW)))
    })
  )
})

test('the lowest bit of a tag says that the state may be dead, now or later', () => {
  fc.assert(
    fc.property(stateArb, fc.nat(2 * NOW), (state, nowMs) => {
      const everDead = isDead(state, Number.MAX_SAFE_INTEGER)
      assert.is(mayBeDead(stateTag(state)), everDead)
      if (isDead(state, nowMs)) assert.ok(everDead)
    })
  )
})

test('lists of dots survive their bytes, and unsorted ones are refused', () => {
  fc.assert(
    fc.property(contextArb, ({ cloud }) => {
      assert.equal(decodeDots(encodeDots(cloud)), cloud)
      if (cloud.length > 1) assert.throws(() => decodeDots(encodeDots([...cloud].reverse())))
    })
  )
})

test('a bare context survives its bytes', () => {
  fc.assert(
    fc.property(contextArb, context => {
      const bytes = encodeBareContext(context)
      assert.equal(encodeBareContext(decodeBareContext(bytes)), bytes)
    })
  )
})

test.run()
