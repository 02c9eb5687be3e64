/** What was written from docs/protocol.md (test/support/foreign) agrees with the page's vectors. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  codec,
  decodeState,
  type Entry,
  encodeState,
  framed,
  grantText,
  isSignedBy,
  merge,
  positionOf,
  preferenceList,
  prefixOf,
  proofOf,
  rangeOf,
  recordMessage,
  sumsOf,
  tagOf,
  totalOf,
  unpacked
} from '../support/foreign/rules.ts'

const FOREIGN = join(import.meta.dirname, '..', 'support', 'foreign')
const MAJORITY = -1
const PAGE = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')

const rules = suite('the rules of docs/protocol.md, written down again')

/** Fields of a vector; continued lines are joined, quotes taken off. */
function vector(name: string): Record<string, string> {
  const block = new RegExp(`^\`\`\`vector ${name}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(PAGE)![1]!
  const fields: Record<string, string> = {}
  let last = ''
  for (const line of block.trimEnd().split('\n')) {
    const [, field, value] = /^(\S.*?)? {2,}(.*)$/.exec(line)!
    last = field ?? last
    fields[last] = (fields[last] ?? '') + value!.replace(/^"|"$/g, '')
  }
  return fields
}

const bytesOf = (hex: string) => Buffer.from(hex, 'hex')
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

rules('nothing of it comes from src', () => {
  for (const name of readdirSync(FOREIGN)) {
    const imports = [...readFileSync(join(FOREIGN, name), 'utf8').matchAll(/from '([^']+)'/g)].map(match => match[1]!)
    assert.equal(
      imports.filter(path => path.startsWith('.') && !/^\.\/\w+\.ts$/.test(path)),
      [],
      name
    )
  }
})

rules('framing, hello, ring and signatures', () => {
  assert.is(hexOf(framed(Uint8Array.of(1, 2, 3))), vector('framing')['3 bytes'])
  assert.is(hexOf(framed(new Uint8Array(300))).slice(0, 4), vector('framing')['prefix of 300 bytes'])
  const hello = vector('hello')
  const exchange = {
    initiator: hello.initiator!,
    acceptor: hello.acceptor!,
    initiatorHello: bytesOf(hello["initiator's hello"]!),
    acceptorHello: bytesOf(hello["acceptor's hello"]!)
  }
  for (const side of ['initiator', 'acceptor'] as const) {
    assert.is(hexOf(proofOf(bytesOf(hello.secret!), side, exchange)), hello[`${side}'s proof`])
  }
  const position = vector('position')
  const { hi, lo } = positionOf(bytesOf(position.key!))
  assert.is(hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0'), position.position)
  for (const q of [8, 256, 4096]) assert.is(rangeOf(bytesOf(position.key!), q), Number(position[`range of ${q}`]))
  const preference = vector('preference')
  const owners = [...preference['owners of ranges 0 to 7']!]
  const list = (range: number, zoneOf: (owner: string) => string) =>
    preferenceList(owners, range, Number(preference.N), zoneOf).join('')
  assert.is(
    list(0, () => ''),
    preference['one zone, range 0']
  )
  assert.is(
    list(6, () => ''),
    preference['one zone, range 6']
  )
  assert.is(
    list(0, owner => (owner === 'D' ? 'y' : 'x')),
    preference['D in another zone, range 0']
  )
})

rules('records and grants', () => {
  const { 'peer id A': peerA, 'peer id B': peerB } = vector('identity')
  const clusterId = vector('invite')['cluster id']!
  const grant = vector('grant')
  assert.is(grantText(clusterId, { range: 7, epoch: 2, owner: peerB! }), grant.message)
  assert.ok(isSignedBy(grant.by!, grant.message!, bytesOf(grant.signature!)))
  assert.not(isSignedBy(peerB!, grant.message!, bytesOf(grant.signature!)))
  const record = vector('member-record')
  assert.ok(isSignedBy(peerA!, recordMessage(clusterId, bytesOf(record.body!)), bytesOf(record.signature!)))
  assert.is(hexOf(prefixOf(peerA!)), vector('digest')['prefix A'])
})

rules('messages, by the schemas', () => {
  interface PutFrame {
    id: number
    timeoutMs: number
    put: {
      key: Uint8Array
      value: Uint8Array
      context?: Uint8Array
      w: number
      writeId: Uint8Array
      forwarded: boolean
    }
  }
  const { frame } = vector('kv-put')
  const { id, timeoutMs, put } = codec<PutFrame>('kv.Frame').decode(bytesOf(frame!))
  const { key, value, context, w, writeId, forwarded } = put
  assert.equal([id, timeoutMs, w, context, forwarded], [1, 5000, MAJORITY, undefined, false])
  assert.equal([key, value].map(String), ['cart:7', 'milk'])
  assert.is(hexOf(framed(bytesOf(frame!))), vector('kv-put')['on the stream'])
  assert.is(hexOf(writeId), '01'.repeat(8))
  const { message } = vector('digest')
  const entries = bytesOf(message!.slice(-60))
  const digest = { from: '0', to: '18446744073709551615', entries }
  // Not compared as bytes: outside of key states a default may be written or left out.
  const gossip = codec('gossip.GossipMessage')
  assert.equal(gossip.decode(gossip.encode({ digest })), gossip.decode(bytesOf(message!)))
  const [hi, lo] = vector('bucket-sums')['total of both']!.split(' ').map(Number)
  const open = { ranges: [{ range: 7, hi, lo }], durable: true }
  assert.is(hexOf(codec('sync.SyncMessage').encode({ open })), vector('bucket-sums')['sync open'])
})

rules('key states, tags, merges and sums', () => {
  for (const name of ['first', 'a', 'b', 'merged', 'deleted']) {
    const { state, tag } = vector(`state-${name}`)
    const decoded = decodeState(bytesOf(state!))
    assert.is(hexOf(encodeState(decoded)), state)
    assert.is(tagOf(decoded), Number(tag))
  }
  const state = (name: string) => decodeState(bytesOf(vector(`state-${name}`).state!))
  const nowMs = 1_700_000_000_000
  assert.is(hexOf(encodeState(merge(state('a'), state('b'), nowMs))), vector('state-merged').state)
  assert.is(hexOf(encodeState(merge(state('b'), state('a'), nowMs))), vector('state-merged').state)
  assert.is(tagOf(merge(state('merged'), state('deleted'), nowMs)), Number(vector('state-deleted').tag))
  const sums = vector('bucket-sums')
  const entries: Entry[] = [{ ...positionOf(Buffer.from('cart:7')), tag: Number(vector('state-merged').tag) }]
  const bucket = Number(sums.bucket)
  assert.equal([...sumsOf(entries).subarray(2 * bucket, 2 * bucket + 2)], unpacked(bytesOf(sums['its words']!)))
  assert.is(Object.values(totalOf(entries)).join(' '), sums['total of one'])
  entries.push({ hi: 16909060, lo: 4294966272, tag: 3735928559 })
  assert.is(Object.values(totalOf(entries)).join(' '), sums['total of both'])
  assert.equal(totalOf([]), { hi: 0, lo: 0 })
})

rules.run()
