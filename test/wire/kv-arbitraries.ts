/** Every request and answer of `messages.ts`, at random, for property tests. */
import fc from 'fast-check'
import type { Claim } from '../../src/claim.ts'
import { LIMITS, MAX_RANGES } from '../../src/config.ts'
import { type Answer, type CopyStatus, type Level, MANAGE_ACTIONS, type Request } from '../../src/messages.ts'

/** Plain objects: comparisons look at the prototype too. */
const record = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>
const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength })
const key = fc.oneof(bytes(1, 40), fc.constant(new Uint8Array(LIMITS.maxKeyBytes).fill(255)))
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const range = fc.nat(MAX_RANGES - 1)
const ranges = fc.array(range, { maxLength: 20 })
const level: fc.Arbitrary<Level> = fc.oneof(
  fc.integer({ min: 1, max: 100 }),
  fc.constantFrom('default', 'quorum', 'all')
)
const wall = fc.oneof(fc.constant(0), fc.nat(Number.MAX_SAFE_INTEGER), fc.constant(1_795_000_000_000))
const name = fc.oneof(fc.string({ maxLength: 30 }), fc.constant('12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8'))
const flag = fc.boolean()
const count = fc.nat(2 ** 32 - 1)

const claim: fc.Arbitrary<Claim> = record({
  range,
  epoch: fc.nat(2 ** 40),
  owner: name,
  grant: optional(record({ by: name, signature: bytes(0, 64) }))
}).map(dropUndefined)
const claims = fc.array(claim, { maxLength: 5 })

export const requests: { [K in Request['type']]: fc.Arbitrary<Extract<Request, { type: K }>> } = {
  get: record({ type: fc.constant('get'), key, r: level, forwarded: flag }),
  put: record({
    type: fc.constant('put'),
    key,
    value: optional(bytes(0, 200)),
    context: optional(bytes(0, 60)),
    w: level,
    expiresAtMs: wall,
    writeId: bytes(8, 8),
    forwarded: flag
  }).map(dropUndefined),
  keys: record({
    type: fc.constant('keys'),
    range,
    after: bytes(0, 20),
    limit: fc.nat(1000),
    prefix: bytes(0, 20),
    forwarded: flag
  }),
  info: record({
    type: fc.constant('info'),
    what: fc.constantFrom('cluster', 'members', 'ring', 'stats', 'where', 'transfers', 'copies', 'status'),
    key: optional(key)
  }).map(dropUndefined),
  read: record({ type: fc.constant('read'), range, key, standIn: flag }),
  merge: record({ type: fc.constant('merge'), range, key, state: bytes(0, 300), standIn: flag }),
  claims: record({ type: fc.constant('claims'), claims }),
  ask: record({ type: fc.constant('ask'), ranges }),
  pull: record({ type: fc.constant('pull'), ranges, sources: fc.array(name, { maxLength: 4 }) }),
  mirror: record({ type: fc.constant('mirror'), ranges }),
  seal: record({ type: fc.constant('seal'), ranges, member: name }),
  copies: record({ type: fc.constant('copies'), ranges }),
  manage: record({
    type: fc.constant('manage'),
    action: fc.constantFrom(...MANAGE_ACTIONS),
    peerId: name,
    ranges,
    force: flag
  }),
  deliver: record({ type: fc.constant('deliver'), ranges }),
  accept: record({ type: fc.constant('accept'), ranges, holders: fc.array(name, { maxLength: 4 }) }),
  reap: record({
    type: fc.constant('reap'),
    range,
    tombstones: fc.array(record({ hi: count, lo: count, tag: count, context: bytes(0, 60) }), { maxLength: 8 }),
    proven: flag
  })
}

const status: fc.Arbitrary<CopyStatus> = fc.constantFrom('none', 'syncing', 'synced', 'frozen')

export const answers: { [K in Answer['type']]: fc.Arbitrary<Extract<Answer, { type: K }>> } = {
  got: record({
    type: fc.constant('got'),
    siblings: fc.array(record({ value: bytes(0, 100), dot: name, expiresAtMs: wall, writtenAtMs: wall }), {
      maxLength: 4
    }),
    context: bytes(0, 60),
    replies: count,
    deletedAtMs: wall
  }),
  stored: record({
    type: fc.constant('stored'),
    context: bytes(0, 60),
    dot: name,
    acks: count,
    sloppy: flag,
    siblings: count,
    replaced: count
  }),
  keys: record({ type: fc.constant('keys'), keys: fc.array(key, { maxLength: 5 }), done: flag }),
  info: record({ type: fc.constant('info'), json: fc.string() }),
  state: record({ type: fc.constant('state'), state: optional(bytes(0, 300)), synced: flag }).map(dropUndefined),
  merged: record({ type: fc.constant('merged'), synced: flag, siblings: count }),
  moved: record({ type: fc.constant('moved'), claims }),
  ok: record({ type: fc.constant('ok') }),
  asked: record({ type: fc.constant('asked'), granted: claims, pending: ranges, refused: ranges }),
  pulled: record({ type: fc.constant('pulled'), synced: ranges, keysDone: wall, keysTotal: wall }),
  mirrored: record({ type: fc.constant('mirrored'), continued: ranges, started: ranges, absent: ranges }),
  copies: record({
    type: fc.constant('copies'),
    copies: fc.array(record({ range, status }), { maxLength: 8 })
  }),
  reapable: record({ type: fc.constant('reapable'), places: ranges })
}

/** An absent field and one that is `undefined` mean the same, but compare differently. */
function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
}
