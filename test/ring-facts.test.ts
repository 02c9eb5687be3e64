/** What a node makes of what others say of the ring, and whom it tells what they have forgotten. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../src/background.ts'
import { type Claim, grantMessage } from '../src/claim.ts'
import type { Peers } from '../src/coordinator/peers.ts'
import { CoterieError } from '../src/errors.ts'
import type { MemberRecord } from '../src/membership/member-record.ts'
import type { Request } from '../src/messages.ts'
import { RingFacts, type RingFactsParts } from '../src/ring-facts.ts'
import { silentLog, systemTimers } from '../src/runtime.ts'
import { Topology } from '../src/topology.ts'
import { FakeFiles } from './support/fake-files.ts'
import { fakeSigner } from './support/fake-signer.ts'

const test = suite('ring facts')
const PARAMS = { clusterId: 'c'.repeat(32), name: 't', q: 4, n: 1, r: 1, w: 1 }

function granted(range: number, epoch: number, owner: string, by: string): Claim {
  const claim = { range, epoch, owner }
  return { ...claim, grant: { by, signature: fakeSigner(by).sign(grantMessage(PARAMS.clusterId, claim)) } }
}

/** Node `a`, which knows these claims; what it tells others. */
async function node(claims: Claim[]) {
  const files = new FakeFiles()
  await files.makeDir('d')
  const topology = new Topology(
    { files, signer: fakeSigner('a'), log: silentLog },
    { dir: 'd', params: PARAMS, zoneOf: () => '' }
  )
  await topology.open()
  await topology.apply(claims)
  const told: { peerId: string; claims: Claim[] }[] = []
  const it = { isReachable: true, failures: 0, nowMs: 0, removed: [] as string[], members: ['a', 'b', 'c'] }
  const peers = {
    isReachable: () => it.isReachable,
    call: async (peerId: string, request: Request) => {
      if (request.type === 'claims') told.push({ peerId, claims: request.claims })
      if (it.failures-- > 0) throw new CoterieError('timeout', 'no answer')
      return { type: 'ok' as const }
    }
  } as unknown as Peers
  const background = new Background({ log: silentLog, timers: systemTimers })
  const clock = { monotonicMs: () => it.nowMs }
  const membership = {
    isRemoved: (peerId: string) => it.removed.includes(peerId),
    member: (peerId: string) => it.members.find(name => name === peerId)
  }
  const parts = { background, peers, topology, clock, membership } as unknown as RingFactsParts
  const facts = new RingFacts(parts, { timeoutMs: 1000, strangersAfterMs: 10_000 })
  const done = () => background.stop(1000)
  const takeIn = async (record: Partial<MemberRecord>) => {
    facts.takeIn(record as MemberRecord)
    await done()
  }
  const tick = async () => {
    facts.tick()
    await done()
  }
  const toTell = () => facts.toTell().map(({ range, owner }) => `${range} ${owner}`)
  return Object.assign(it, { topology, told, takeIn, tick, toTell })
}

const BEGUN: Claim[] = [0, 1, 2, 3].map(range => ({ range, epoch: 1, owner: 'a' }))
/** Of `b` now, by grant of `a`. */
const OWN = granted(2, 2, 'b', 'a')

test('a record that says all that its node owns brings its news, and is answered by nothing', async () => {
  const it = await node(BEGUN)
  await it.takeIn({ peerId: 'b', claims: [OWN] })
  assert.equal(it.topology.claim(2), OWN)
  assert.equal(it.told, [])
})

test('an owner that leaves out what it owns is told', async () => {
  const it = await node([...BEGUN, OWN])
  await it.takeIn({ peerId: 'b', claims: [] })
  assert.equal(it.told, [{ peerId: 'b', claims: [OWN] }])
})

test('so is one that knows an older claim of that range only: it gave it away, and it has come back', async () => {
  const away = granted(2, 3, 'c', 'b')
  const back = granted(2, 4, 'b', 'c')
  const it = await node([...BEGUN, OWN, away, back])
  await it.takeIn({ peerId: 'b', claims: [away] })
  assert.equal(it.told, [{ peerId: 'b', claims: [back] }])
  assert.equal(it.topology.claim(2), back)
})

test('who could not be told is told again, once it can be reached, until it has answered', async () => {
  const it = await node([...BEGUN, OWN])
  it.failures = 2
  await it.takeIn({ peerId: 'b', claims: [] })
  it.isReachable = false
  await it.tick()
  assert.is(it.told.length, 1)
  it.isReachable = true
  for (let i = 0; i < 4; i++) await it.tick()
  assert.is(it.told.length, 3)
})

test('its own record tells of claims whose owner and granter have no record any more, and of nobody else’s', async () => {
  const it = await node([...BEGUN, granted(1, 2, 'b', 'c'), granted(2, 2, 'c', 'a'), granted(3, 2, 'c', 'b')])
  assert.equal(it.toTell(), ['0 a', '2 c'])
  it.removed = ['b']
  it.members = ['a', 'c']
  assert.equal(it.toTell(), ['0 a', '2 c'], 'the record of c, which gave it away, tells of range 1')
  it.removed = ['b', 'c']
  it.members = ['a']
  assert.equal(it.toTell(), ['0 a', '2 c', '1 b', '3 c'])
})

test('an owner of whom nothing is heard is a stranger only once gossip has had its time', async () => {
  const it = await node([...BEGUN, granted(1, 2, 'b', 'c')])
  it.members = ['a']
  it.nowMs = 9999
  assert.equal(it.toTell(), ['0 a', '2 a', '3 a'])
  it.nowMs = 10_000
  assert.equal(it.toTell(), ['0 a', '2 a', '3 a', '1 b'])
})

test.run()
