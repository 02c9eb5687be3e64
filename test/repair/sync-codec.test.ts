import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { joined } from '../../src/bytes.ts'
import { LIMITS } from '../../src/config.ts'
import { isCoterieError } from '../../src/errors.ts'
import type { CopyStatus } from '../../src/messages.ts'
import { decodeSync, ENTRY_BYTES, encodeSync, POSITION_BYTES, type SyncMessage } from '../../src/repair/sync-codec.ts'
import { BUCKET_BYTES, BUCKETS } from '../../src/replica/bucket-sums.ts'
import { encodeDots } from '../../src/version/codec.ts'
import { compareDots, formatDot } from '../../src/version/dot.ts'
import { ACTORS } from '../version/arbitraries.ts'

const test = suite('sync codec')
const schema = readFileSync(join(import.meta.dirname, '../../src/wire/sync.proto'), 'utf8')
const Message = protobuf.parse(schema).root.lookupType('coterie.sync.SyncMessage')

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const range = fc.integer({ min: 0, max: 4095 })
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const whole = (unit: number) => fc.nat(5).chain(count => bytes(count * unit))
const status = fc.constantFrom<CopyStatus>('none', 'syncing', 'synced', 'frozen')
const type = <T extends string>(name: T) => fc.constant(name)
const key = fc.uint8Array({ minLength: 1, maxLength: LIMITS.maxKeyBytes })
const dotArb = fc.record({ actor: fc.constantFrom(...ACTORS), counter: fc.integer({ min: 1, max: 2 ** 40 }) })
const dotsArb = fc.uniqueArray(dotArb, { maxLength: 5, selector: formatDot }).map(dots => dots.sort(compareDots))
const clockArb = fc
  .uniqueArray(dotArb, { maxLength: 5, selector: ({ actor }) => actor })
  .map(dots => dots.sort(compareDots).map(({ actor, counter }): [string, number] => [actor, counter]))
const item = fc.record({
  key,
  state: fc.uint8Array(),
  more: fc.boolean()
})

const fileId = bytes(8).map(id => Buffer.from(id).toString('hex'))
const length = fc.maxSafeNat()
const files = fc.array(fc.record({ fileId, bytes: length }), { maxLength: 4 })

const anyArb: fc.Arbitrary<SyncMessage> = fc.oneof(
  fc.record({
    type: type('open'),
    ranges: fc.array(fc.record({ range, hi: u32, lo: u32 })),
    pushOnly: fc.boolean(),
    durable: fc.boolean()
  }),
  fc.record(
    { type: type('status'), range, status, keys: u32, buckets: bytes(BUCKETS * BUCKET_BYTES) },
    { requiredKeys: ['type', 'range', 'status', 'keys'] }
  ),
  fc.record({
    type: type('entries'),
    range,
    buckets: fc.array(fc.integer({ min: 0, max: BUCKETS - 1 })),
    entries: whole(ENTRY_BYTES)
  }),
  fc.record({ type: type('states'), range, items: fc.array(item, { maxLength: 4 }) }),
  fc.record({ type: type('want'), range, positions: whole(POSITION_BYTES) }),
  fc.record({ type: type('clock'), range, entries: clockArb, synced: fc.boolean() }),
  fc.record({ type: type('dead'), range, items: fc.array(fc.record({ key, dots: dotsArb }), { maxLength: 4 }) }),
  fc.record({ type: type('fetch'), ranges: fc.array(fc.record({ range, have: files }), { maxLength: 4 }) }),
  fc.record({ type: type('files'), range, files, last: fc.boolean() }),
  fc.record({ type: type('bytes'), range, fileId, offset: length, bytes: fc.uint8Array() }),
  ...(['endOfStatus', 'endOfEntries', 'endOfStates', 'finish', 'done', 'fetched'] as const).map(name =>
    fc.record({ type: type(name) })
  )
)
/** fast-check's records have no prototype, which `equal` would take for a difference. */
const messageArb = anyArb.map(message => structuredClone(message))

const plain = (value: Uint8Array) => new Uint8Array(value)

/** The message as a full protobuf implementation would have to write it. */
function asProto(message: SyncMessage): Record<string, unknown> {
  const { type, ...body } = message
  return { [type]: { ...body, ...changed(message) } }
}

function changed(message: SyncMessage): Record<string, unknown> {
  switch (message.type) {
    case 'status':
      return { status: ['none', 'syncing', 'synced', 'frozen'].indexOf(message.status) }
    case 'clock':
      return { dots: encodeDots(message.entries.map(([actor, counter]) => ({ actor, counter }))) }
    case 'dead':
      return { keys: message.items.map(({ key, dots }) => ({ key, dots: encodeDots(dots) })) }
    case 'fetch':
      return { ranges: message.ranges.map(({ range, have }) => ({ range, have: have.map(named) })) }
    case 'files':
      return { files: message.files.map(named) }
    case 'bytes':
      return { fileId: Buffer.from(message.fileId, 'hex') }
    default:
      return {}
  }
}

const named = ({ fileId, bytes }: { fileId: string; bytes: number }) => ({ fileId: Buffer.from(fileId, 'hex'), bytes })

test('what is encoded decodes to the same', () => {
  fc.assert(fc.property(messageArb, message => assert.equal(decodeSync(plain(joined(encodeSync(message)))), message)))
})

test('another implementation of the schema reads and writes the same bytes', () => {
  fc.assert(
    fc.property(messageArb, message => {
      const theirs = Message.encode(Message.fromObject(asProto(message))).finish()
      assert.equal(decodeSync(plain(theirs)), message)
      const meaning = (encoded: Uint8Array) =>
        Message.toObject(Message.decode(encoded), { oneofs: true, defaults: true, bytes: String })
      assert.equal(meaning(joined(encodeSync(message))), meaning(theirs))
    })
  )
})

test('bytes cut short, changed or made up are a protocol error or another message, never anything else', () => {
  const read = (bytes: Uint8Array) => {
    try {
      decodeSync(bytes)
    } catch (error) {
      assert.ok(isCoterieError(error, 'protocol'), String(error))
    }
  }
  fc.assert(
    fc.property(messageArb, fc.nat(), fc.nat(255), (message, at, byte) => {
      const encoded = plain(joined(encodeSync(message)))
      read(encoded.slice(0, at % encoded.length))
      encoded[at % encoded.length] = byte
      read(encoded)
    }),
    { numRuns: 300 }
  )
  fc.assert(fc.property(fc.uint8Array(), read))
})

test('sizes that do not add up are refused', () => {
  const bad = (body: Record<string, unknown>) => Message.encode(Message.fromObject(body)).finish()
  for (const body of [
    { want: { range: 1, positions: new Uint8Array(7) } },
    { entries: { range: 1, buckets: [1], entries: new Uint8Array(13) } },
    { entries: { range: 1, buckets: [BUCKETS], entries: new Uint8Array() } },
    { status: { range: 1, status: 2, keys: 1, buckets: new Uint8Array(8) } },
    { states: { range: 1, items: [{ key: new Uint8Array(), state: new Uint8Array(1) }] } },
    { dead: { range: 1, keys: [{ key: new Uint8Array(), dots: new Uint8Array() }] } },
    { clock: { range: 1, dots: encodeDots([1, 2].map(counter => ({ actor: ACTORS[0]!, counter }))) } },
    { bytes: { range: 1, fileId: new Uint8Array(7), offset: 0, bytes: new Uint8Array(1) } },
    { files: { range: 1, files: [{ fileId: new Uint8Array(8), bytes: '9007199254740992' }] } },
    { states: { range: 1, items: [{ key: new Uint8Array(LIMITS.maxKeyBytes + 1), state: new Uint8Array(1) }] } },
    {}
  ]) {
    assert.throws(
      () => decodeSync(plain(bad(body))),
      (error: unknown) => isCoterieError(error, 'protocol'),
      JSON.stringify(Object.keys(body))
    )
  }
})

test('fields of later versions are skipped', () => {
  const later = protobuf.parse(schema.replace('bytes positions = 2;', 'bytes positions = 2; string news = 9;')).root
  const Later = later.lookupType('coterie.sync.SyncMessage')
  const encoded = Later.encode(
    Later.fromObject({ want: { range: 3, positions: new Uint8Array(8), news: 'x' } })
  ).finish()
  assert.equal(decodeSync(plain(encoded)), { type: 'want', range: 3, positions: new Uint8Array(8) })
})

test.run()
