/**
 * docs/protocol.md is enough: a client and a member that were written from it (test/support/foreign, libp2p and protobufjs
 * and nothing from `src`) work with a real node process.
 */
import type { Connection, Libp2p } from '@libp2p/interface'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForeignMember, SYNCED } from '../support/foreign/member.ts'
import {
  Answered,
  dial,
  foreignHost,
  type HelloInit,
  introduce,
  Kv,
  type Params,
  Refused
} from '../support/foreign/peer.ts'
import { decodeState, encodeState, positionOf, prefixOf, rangeOf } from '../support/foreign/rules.ts'
import { ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'

const RANGES = 8
const MAJORITY = -1

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

interface Got {
  siblings: { value: Uint8Array; dot: string; expiresAtMs: number }[]
  context: Uint8Array
  replies: number
}
interface Stored {
  context: Uint8Array
  dot: string
  acks: number
  siblings: number
  replaced: number
}

const live = suite('a foreign client and a foreign member')
const cluster = new ProcessCluster(['--ranges', String(RANGES)])
let secret: { clusterId: string; secret: Uint8Array }
let host: Libp2p
let connection: Connection
let params: Params
let kv: Kv

const key = (text: string) => new TextEncoder().encode(text)
const writeId = () => crypto.getRandomValues(new Uint8Array(8))
const get = (name: string, r = 0) => kv.request<Got>('get', { key: key(name), r }, 'got')
const put = (name: string, value: string | Uint8Array, rest: object = {}) =>
  kv.request<Stored>(
    'put',
    { key: key(name), value: typeof value === 'string' ? key(value) : value, w: MAJORITY, writeId: writeId(), ...rest },
    'stored'
  )
const remove = (name: string, rest: object = {}) =>
  kv.request<Stored>('put', { key: key(name), writeId: writeId(), ...rest }, 'stored')
const texts = ({ siblings }: Got) => siblings.map(({ value }) => Buffer.from(value).toString()).sort()

async function refusalOf(work: Promise<unknown>): Promise<Refused> {
  try {
    await work
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
  throw new Error('it was not refused')
}

/** A hello of its own on a new host. */
async function stranger(change: Partial<HelloInit>): Promise<Params> {
  const other = await foreignHost()
  try {
    const connection = await dial(other, cluster.nodes[0]!.address)
    return await introduce(connection, other.peerId.toString(), { ...secret, role: 'CLIENT', ...change })
  } finally {
    await other.stop()
  }
}

live.before(async () => {
  const node = await cluster.add()
  const [, clusterId, word] = cluster.secret.split(':') as [string, string, string]
  secret = { clusterId, secret: Buffer.from(word, 'base64url') }
  host = await foreignHost()
  connection = await dial(host, node.address)
  params = await introduce(connection, host.peerId.toString(), { ...secret, role: 'CLIENT' })
  kv = await Kv.open(connection)
})

live.after(async () => {
  await kv?.close()
  await host?.stop()
  await cluster.close()
})

live('the client is admitted and learns the parameters', () => {
  assert.equal([params.q, params.n, params.hash], [RANGES, 3, 'sha256'])
})

live('it puts, gets, replaces, makes a sibling, resolves, deletes', async () => {
  const none = await get('cart:7')
  assert.equal(texts(none), [])
  const first = await put('cart:7', 'milk')
  assert.equal([first.acks, first.siblings, first.replaced], [1, 1, 0])
  const read = await get('cart:7')
  assert.equal(texts(read), ['milk'])
  assert.is(read.siblings[0]!.dot, first.dot)
  assert.is(read.replies, 1)
  const second = await put('cart:7', 'milk, eggs', { context: read.context })
  assert.equal([second.siblings, second.replaced], [1, 1])
  const blind = await put('cart:7', 'bread')
  assert.is(blind.siblings, 2)
  const both = await get('cart:7')
  assert.equal(texts(both), ['bread', 'milk, eggs'])
  const resolved = await put('cart:7', 'milk, eggs, bread', { context: both.context })
  assert.equal([resolved.siblings, resolved.replaced], [1, 2])
  // The context of a write will do for the next one.
  const deleted = await remove('cart:7', { context: resolved.context })
  assert.equal([deleted.siblings, deleted.replaced], [0, 1])
  const gone = await get('cart:7')
  assert.equal(texts(gone), [])
  assert.ok(gone.context.length > none.context.length, 'the context of a deleted key knows of its writes')
})

live('a delete without context deletes what the node finds; an empty value is none of these', async () => {
  await put('cart:8', 'a')
  await put('cart:8', 'b')
  assert.is((await remove('cart:8')).replaced, 2)
  assert.equal(texts(await get('cart:8')), [])
  await put('cart:9', '')
  assert.equal(texts(await get('cart:9')), [''])
})

live('a retry keeps its write id and mints nothing', async () => {
  const id = writeId()
  const first = await put('retried', 'once', { writeId: id })
  assert.is((await put('retried', 'once', { writeId: id })).dot, first.dot)
  assert.equal(texts(await get('retried')), ['once'])
  assert.is((await refusalOf(put('retried', 'twice', { writeId: id }))).code, 'bad-usage')
})

live('a large value travels in parts, while small requests pass', async () => {
  const value = Uint8Array.from({ length: 700_000 }, (_, i) => i % 251)
  const stored = put('large', value)
  const small = put('small', 'quick')
  await Promise.all([stored, small])
  const [large] = await Promise.all([get('large'), get('small')])
  assert.is(Buffer.compare(large.siblings[0]!.value, value), 0)
})

live('keys are listed with a cursor, range by range', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `listed:${i}`)
  await Promise.all(names.map(name => put(name, 'x')))
  const found: string[] = []
  for (let range = 0; range < params.q; range++) {
    let after: Uint8Array = new Uint8Array(0)
    for (let done = false; !done; ) {
      const page = await kv.request<{ keys: Uint8Array[]; done: boolean }>(
        'keys',
        { range, after, limit: 2, prefix: key('listed:') },
        'keyList'
      )
      for (const name of page.keys) assert.is(rangeOf(name, params.q), range)
      found.push(...page.keys.map(name => Buffer.from(name).toString()))
      done = page.done
      const last = page.keys.at(-1)
      if (last) {
        const { hi, lo } = positionOf(last)
        after = Buffer.alloc(8)
        Buffer.from(after.buffer).writeUInt32BE(hi, 0)
        Buffer.from(after.buffer).writeUInt32BE(lo, 4)
      }
    }
  }
  assert.equal(found.sort(), names.sort())
})

live('the ring and the members come as JSON', async () => {
  const info = async (what: string) =>
    JSON.parse((await kv.request<{ json: string }>('info', { what }, 'infoText')).json)
  const ring = await info('RING')
  const [self] = await info('MEMBERS')
  assert.is(ring.owners.length, RANGES)
  assert.ok(ring.owners.every(({ owner }: { owner: string }) => owner === connection.remotePeer.toString()))
  assert.equal([self.peerId, self.zone], [connection.remotePeer.toString(), ''])
})

live('errors carry their codes', async () => {
  const cases: [string, object, string][] = [
    ['get', { key: key('k'), r: 4 }, 'bad-usage'],
    ['get', { key: key('k'), r: -3 }, 'protocol'],
    ['get', {}, 'protocol'],
    ['get', { key: new Uint8Array(1025) }, 'protocol'],
    ['put', { key: key('k'), value: key('v') }, 'protocol'],
    ['put', { key: key('k'), value: key('v'), writeId: writeId(), context: new Uint8Array(0) }, 'bad-context'],
    [
      'put',
      { key: key('k'), value: key('v'), writeId: writeId(), context: (await get('cart:7')).context },
      'bad-context'
    ],
    ['keys', { range: RANGES, limit: 1 }, 'bad-usage'],
    ['info', { what: 99 }, 'protocol'],
    ['copies', { ranges: [0] }, 'refused'],
    ['read', { range: 0, key: key('k') }, 'refused'],
    ['pulled', {}, 'protocol']
  ]
  for (const [request, content, code] of cases) {
    const error = await refusalOf(kv.request(request, content, 'nothing'))
    assert.instance(error, Answered)
    assert.is(error.code, code, `${request} ${JSON.stringify(content)}: ${error.message}`)
  }
  assert.equal(texts(await get('small')), ['quick'], 'the stream goes on')
})

live('a client with a wrong secret is refused with the reason', async () => {
  const wrong = { secret: crypto.getRandomValues(new Uint8Array(32)) }
  await stranger(wrong).then(
    () => assert.unreachable(),
    error => assert.match(error.message, 'the acceptor does not hold the secret')
  )
  const refusal = await refusalOf(stranger({ ...wrong, gullible: true }))
  assert.is(refusal.code, 'refused')
  assert.match(refusal.message, 'we do not hold the same cluster secret')
  assert.equal((await stranger({})).q, RANGES)
})

live('so are other clusters, versions and parameters', async () => {
  const cases: [Partial<HelloInit>, RegExp][] = [
    [{ clusterId: 'f'.repeat(32) }, /you belong to cluster ffffffffffff/],
    [{ version: 2 }, /you speak protocol version 2, I speak 1/],
    [{ params: { ...params, q: 64 } }, /ranges: you have 64, I have 8/],
    [{ params: { ...params, n: 2 } }, /replicas: you have 2, I have 3/]
  ]
  for (const [change, message] of cases) {
    const refusal = await refusalOf(stranger(change))
    assert.is(refusal.code, 'refused')
    assert.match(refusal.message, message)
  }
  assert.equal(await stranger({ params: { ...params, name: 'other', r: 1 } }), { ...params, name: 'other', r: 1 })
})

live('a stream that was opened before any hello is reset', async () => {
  const other = await foreignHost()
  try {
    const unadmitted = await Kv.open(await dial(other, cluster.nodes[0]!.address))
    await unadmitted.request('get', { key: key('small') }, 'got', 10_000).then(
      () => assert.unreachable('it was served'),
      error => assert.not.match(error.message, 'no answer')
    )
  } finally {
    await other.stop()
  }
})

live('a foreign member gossips, is given a range, fills its copies and takes writes', async () => {
  const founder = connection.remotePeer.toString()
  const member = await ForeignMember.join(cluster.nodes[0]!.address, secret)
  try {
    // 5. Gossip: records both ways.
    await member.gossip()
    const record = member.records.get(hexOf(prefixOf(founder)))!
    assert.is(record.peerId, founder)
    assert.equal(
      [...member.claims.values()].map(({ owner }) => owner),
      new Array(RANGES).fill(founder)
    )
    const members = async () =>
      JSON.parse((await kv.request<{ json: string }>('info', { what: 'MEMBERS' }, 'infoText')).json) as {
        peerId: string
        alive: boolean
      }[]
    await until('the founder takes the member for alive', async () =>
      (await members()).some(({ peerId, alive }) => peerId === member.peerId && alive)
    )

    // 9. Movement: range 3 changes its owner once all eight lists, which we join, are filled.
    const asked = () =>
      member.kv.request<{ granted: { range: number }[]; refused: number[] }>('ask', { ranges: [3] }, 'asked')
    await until('range 3 is granted', async () => (await asked()).granted.some(({ range }) => range === 3), 20_000, 200)
    await until('the claim arrives', () => member.claims.get(3)?.owner === member.peerId)
    assert.equal([member.claims.get(3)!.epoch, member.claims.get(3)!.grant!.by], [2, founder])
    assert.equal(member.forged, [])
    const copied = [...member.copies.values()].reduce((sum, { size }) => sum + size, 0)
    assert.ok(copied >= 25, `${copied} keys were copied`)

    // 8. Both copies of every range are the same by sums; then one differs, and a session mends it.
    const all = Array.from({ length: RANGES }, (_, range) => range)
    const equal = await member.compare(all)
    assert.equal(
      [...equal.statuses.values()],
      all.map(range => ({ status: SYNCED, keys: member.copies.get(range)!.size, differs: false }))
    )
    assert.equal([equal.received, equal.sent], [0, 0])

    // 4. Writes go to both members of the list now.
    const stored = await put('shared', 'by two', { w: -2 })
    assert.is(stored.acks, 2)
    const range = rangeOf(key('shared'), RANGES)
    const held = member.copies.get(range)!.get(hexOf(key('shared')))!
    assert.equal(
      decodeState(held).siblings.map(({ value }) => Buffer.from(value!).toString()),
      ['by two']
    )
    member.copies.get(range)!.delete(hexOf(key('shared')))
    const mended = await member.compare(all)
    assert.equal(
      [...mended.statuses].filter(([, { differs }]) => differs).map(([range]) => range),
      [range]
    )
    assert.equal([mended.received, mended.sent], [1, 0])
    assert.is(hexOf(member.copies.get(range)!.get(hexOf(key('shared')))!), hexOf(held))

    // And the other way: a state that only the member has is wanted by the node.
    const state = { context: { vector: [{ actor: writeId(), counter: 1 }], cloud: [] }, replaced: [] as [] }
    const sibling = { dot: state.context.vector[0]!, value: key('from afar'), writeId: writeId(), expiresAtMs: 0 }
    member.copies
      .get(rangeOf(key('foreign'), RANGES))!
      .set(hexOf(key('foreign')), encodeState({ ...state, siblings: [sibling] }))
    assert.is((await member.compare(all)).sent, 1)
    assert.equal(texts(await get('foreign', 1)), ['from afar'])

    // A replica's word: the same bytes on both sides.
    const answer = await member.kv.request<{ state: Uint8Array; synced: boolean }>(
      'read',
      { range, key: key('shared') },
      'state'
    )
    assert.equal([hexOf(answer.state), answer.synced], [hexOf(held), true])
  } finally {
    await member.close()
  }
})

live.run()
