import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../src/errors.ts'
import { type Answer, type Level, MANAGE_ACTIONS, type ManageAction, type Request } from '../../src/messages.ts'
import {
  decodeAnswer,
  decodeFrame,
  decodeRequest,
  encodeAnswer,
  encodeFrame,
  encodeRequest
} from '../../src/wire/kv-codec.ts'
import { WIRE_LIMITS } from '../../src/wire/kv-fields.ts'
import { answers, requests } from './kv-arbitraries.ts'

const test = suite('wire/kv-codec')
const proto = protobuf.parse(readFileSync(new URL('../../src/wire/kv.proto', import.meta.url), 'utf8')).root
const Frame = proto.lookupType('coterie.kv.Frame')

const anyRequest = fc.oneof(...Object.values(requests)) as fc.Arbitrary<Request>
const anyAnswer = fc.oneof(...Object.values(answers)) as fc.Arbitrary<Answer>

// ---- kv.proto's idea of a message, as protobufjs' generic objects have it

const LEVELS: Record<string, number> = { default: 0, quorum: -1, all: -2 }
const level = (value: Level) => (typeof value === 'number' ? value : LEVELS[value]!)
const TOPICS = ['cluster', 'members', 'ring', 'stats', 'where', 'transfers', 'copies', 'status']
const STATUSES = ['none', 'syncing', 'synced', 'frozen']
const ANSWER_FIELDS: Record<string, string> = { keys: 'keyList', info: 'infoText', copies: 'copyList' }

function generic(message: Request | Answer, isRequest: boolean): Record<string, unknown> {
  const { type, ...rest } = message as { type: string } & Record<string, unknown>
  const body: Record<string, unknown> = { ...rest }
  if (type === 'get') body.r = level(body.r as Level)
  if (type === 'put') body.w = level(body.w as Level)
  if (type === 'info' && isRequest) body.what = TOPICS.indexOf(body.what as string)
  if (type === 'manage') body.action = MANAGE_ACTIONS.indexOf(body.action as ManageAction)
  if (type === 'copies' && !isRequest) {
    body.copies = (body.copies as { range: number; status: string }[]).map(({ range, status }) => ({
      range,
      status: STATUSES.indexOf(status)
    }))
  }
  return { [isRequest ? type : (ANSWER_FIELDS[type] ?? type)]: body }
}

function readGeneric(bytes: Uint8Array): Record<string, unknown> {
  const object = Frame.toObject(Frame.decode(bytes), { longs: Number, defaults: true })
  return normal({ ...object, body: undefined }) as Record<string, unknown>
}

/** Buffers as arrays, and without the fields that are absent. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(normal)
  if (typeof value !== 'object' || value === null) return value
  const known = Object.entries(value).filter(([name, field]) => field != null && !name.startsWith('_'))
  return Object.fromEntries(known.map(([name, field]) => [name, normal(field)]))
}

// ---- the laws

for (const [type, arbitrary] of Object.entries(requests)) {
  test(`request ${type}: what is encoded is decoded, and kv.proto agrees both ways`, () => {
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<Request>, fc.integer({ min: 1, max: 2 ** 32 - 1 }), (request, id) => {
        const bytes = encodeFrame({ id, timeoutMs: 1234, request })
        const frame = decodeFrame(bytes)
        assert.equal(frame.problem, undefined)
        assert.equal(frame.request, request)
        assert.equal([frame.id, frame.timeoutMs], [id, 1234])
        const seen = readGeneric(bytes)
        assert.equal(pick(seen, generic(request, true)), normal(generic(request, true)))
        const theirs = Frame.encode(Frame.fromObject({ id, timeoutMs: 1234, ...generic(request, true) })).finish()
        assert.equal(decodeRequest(theirs), request)
      }),
      { numRuns: 60 }
    )
  })
}

for (const [type, arbitrary] of Object.entries(answers)) {
  test(`answer ${type}: what is encoded is decoded, and kv.proto agrees both ways`, () => {
    fc.assert(
      fc.property(arbitrary as fc.Arbitrary<Answer>, answer => {
        const bytes = encodeFrame({ id: 7, answer })
        assert.equal(decodeAnswer(bytes), answer)
        assert.equal(pick(readGeneric(bytes), generic(answer, false)), normal(generic(answer, false)))
        const theirs = Frame.encode(Frame.fromObject({ id: 7, ...generic(answer, false) })).finish()
        assert.equal(decodeAnswer(theirs), answer)
      }),
      { numRuns: 60 }
    )
  })
}

/** The body alone, with only the fields that ours has: `defaults` fills in empty lists everywhere. */
function pick(seen: Record<string, unknown>, ours: Record<string, unknown>): unknown {
  const [name] = Object.keys(ours)
  return { [name!]: seen[name!] }
}

test('kv.proto names every body, and no two kinds share a field', () => {
  const names = [...Object.keys(requests), ...Object.keys(answers).map(type => ANSWER_FIELDS[type] ?? type), 'error']
  assert.equal(Frame.oneofs.body!.oneof.map(name => name).sort(), names.sort())
})

test('an error travels as code and message; an unknown code keeps both in its message', () => {
  const frame = decodeFrame(encodeFrame({ id: 3, error: new CoterieError('disk-full', 'no room on /x') }))
  assert.is(frame.error!.code, 'disk-full')
  assert.is(frame.error!.message, 'no room on /x')
  const newer = Frame.encode(Frame.fromObject({ id: 3, error: { code: 'from-2030', message: 'who knows' } })).finish()
  assert.is(decodeFrame(newer).error!.code, 'internal')
  assert.match(decodeFrame(newer).error!.message, 'from-2030: who knows')
  const long = decodeFrame(encodeFrame({ id: 3, error: new CoterieError('internal', 'ü'.repeat(100_000)) }))
  assert.is(long.error!.code, 'internal')
  assert.ok(long.error!.message.length < WIRE_LIMITS.maxErrorBytes)
})

test('an unknown kind, and fields of a newer version, are told apart', () => {
  const w = protobuf.Writer.create().uint32(8).uint32(9)
  const unknown = w
    .uint32((99 << 3) | 2)
    .bytes(Uint8Array.of(1, 2))
    .finish()
  const frame = decodeFrame(unknown)
  assert.is(frame.id, 9)
  assert.is(frame.problem!.code, 'protocol')
  const newer = protobuf.Writer.create()
  newer
    .uint32(8)
    .uint32(9)
    .uint32((8 << 3) | 2)
    .fork()
  newer
    .uint32(8)
    .uint32(5)
    .uint32(18)
    .bytes(Uint8Array.of(1))
    .uint32((50 << 3) | 2)
    .string('new')
    .ldelim()
  assert.equal(decodeFrame(newer.finish()).request, { type: 'read', range: 5, key: Uint8Array.of(1), standIn: false })
})

const frameWith = (body: object) => Frame.encode(Frame.fromObject({ id: 1, ...body })).finish()

test('what is over its limit is refused with `protocol`', () => {
  const key = Uint8Array.of(1)
  const writeId = new Uint8Array(8)
  const wrong: object[] = [
    { get: { key: new Uint8Array(1025) } },
    { get: { key: new Uint8Array(0) } },
    { get: { key, r: -3 } },
    { put: { key, writeId: new Uint8Array(7) } },
    { put: { key, writeId, context: new Uint8Array(WIRE_LIMITS.maxContextBytes + 1) } },
    { put: { key, writeId, expiresAtMs: { low: -1, high: -1, unsigned: true } } },
    { read: { range: 4096, key } },
    { ask: { ranges: new Array(4097).fill(1) } },
    { ask: { ranges: [4096] } },
    { info: { what: 77 } },
    { manage: { action: 77 } },
    { seal: { ranges: [], member: 'x'.repeat(1000) } },
    { pull: { ranges: [], sources: new Array(2000).fill('x') } },
    { copyList: { copies: [{ range: 1, status: 9 }] } }
  ]
  for (const body of wrong) {
    const { problem } = decodeFrame(frameWith(body))
    assert.is(problem?.code, 'protocol', JSON.stringify(body).slice(0, 60))
  }
  assert.throws(() => encodeRequest({ type: 'get', key, r: 0, forwarded: false }), /level of 0/)
  const state = new Uint8Array(WIRE_LIMITS.maxStateBytes + 2 * 1024 * 1024)
  assert.throws(
    () => encodeRequest({ type: 'merge', range: 1, key, state, standIn: false }),
    (error: CoterieError) => error.code === 'too-large'
  )
  const value = new Uint8Array(1024 * 1024)
  const siblings = Array.from({ length: 70 }, () => ({ value, dot: 'd', expiresAtMs: 0, writtenAtMs: 0 }))
  assert.throws(
    () => encodeAnswer({ type: 'got', siblings, context: new Uint8Array(), replies: 2, deletedAtMs: 0 }),
    (error: CoterieError) => error.code === 'too-large' && error.message.endsWith('delete the key')
  )
})

test('garbage never does more than throw `protocol`', () => {
  const check = (bytes: Uint8Array) => {
    try {
      decodeFrame(bytes)
    } catch (error) {
      assert.ok(error instanceof CoterieError && error.code === 'protocol', String(error))
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), check), { numRuns: 2000 })
  const good = fc.oneof(anyRequest.map(encodeRequest), anyAnswer.map(encodeAnswer))
  fc.assert(
    fc.property(good, fc.nat(), fc.nat(255), (bytes, at, byte) => {
      const bent = bytes.slice()
      bent[at % bent.length] = byte
      check(bent)
      check(bytes.subarray(0, at % bytes.length))
    }),
    { numRuns: 1000 }
  )
})

test('byte fields are plain views of what was decoded', () => {
  const state = new Uint8Array(1000).fill(7)
  const bytes = encodeRequest({ type: 'merge', range: 1, key: Uint8Array.of(1), state, standIn: false })
  const request = decodeRequest(Buffer.from(bytes)) as Extract<Request, { type: 'merge' }>
  assert.is(request.state.constructor, Uint8Array)
  const copy = new Uint8Array(bytes)
  const view = decodeRequest(copy) as Extract<Request, { type: 'merge' }>
  assert.is(view.state.buffer, copy.buffer)
})

test.run()
