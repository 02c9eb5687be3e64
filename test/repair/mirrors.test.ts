import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Peers } from '../../src/coordinator/peers.ts'
import { CoterieError, isCoterieError } from '../../src/errors.ts'
import type { Answer, CopyStatus, Request } from '../../src/messages.ts'
import { Mirrors } from '../../src/repair/mirrors.ts'
import type { Replicas } from '../../src/replica/replicas.ts'
import type { Topology } from '../../src/topology.ts'

const test = suite('mirrors')
const LEASE_MS = 1000
const KEY = Uint8Array.of(1)
const STATE = Uint8Array.of(2)

/** Mirrors over parts that the test plays. */
function world() {
  const self = 'source'
  const statuses = new Map<number, CopyStatus>([
    [1, 'synced'],
    [2, 'syncing'],
    [3, 'synced']
  ])
  const listed = new Set<string>([self])
  const sent: { member: string; request: Request }[] = []
  const it = {
    nowMs: 0,
    statuses,
    listed,
    sent,
    answer: async (_member: string): Promise<Answer> => ({ type: 'merged', synced: false, siblings: 0 }),
    mirrors: undefined as unknown as Mirrors
  }
  const call = async (member: string, request: Request) => {
    sent.push({ member, request })
    return it.answer(member)
  }
  it.mirrors = new Mirrors(
    {
      clock: { wallMs: () => 0, monotonicMs: () => it.nowMs },
      peers: { self, call } as unknown as Peers,
      replicas: { status: (range: number) => statuses.get(range) ?? 'none' } as unknown as Replicas,
      topology: { view: { isMember: (_: number, peer: string) => listed.has(peer) } } as unknown as Topology
    },
    { leaseMs: LEASE_MS }
  )
  return it
}

const failure = (work: Promise<unknown> | undefined): Promise<unknown> =>
  Promise.resolve(work).then(
    () => undefined,
    error => error
  )
const unreachable = async (): Promise<never> => {
  throw new CoterieError('unreachable', 'gone')
}

test('only a synced copy is mirrored; a second call goes on with the first', () => {
  const { mirrors } = world()
  assert.equal(mirrors.mirror('m', [1, 2, 4]), { type: 'mirrored', continued: [], started: [1], absent: [2, 4] })
  assert.equal(mirrors.mirror('m', [1, 3]), { type: 'mirrored', continued: [1], started: [3], absent: [] })
  assert.equal(mirrors.mirror('other', [1]), { type: 'mirrored', continued: [], started: [1], absent: [] })
  assert.is(mirrors.size, 3)
})

test('a write goes to every mirror of its range, and back to none it came from', async () => {
  const { mirrors, sent } = world()
  assert.is(mirrors.send(1, KEY, STATE), undefined)
  mirrors.mirror('m', [1])
  mirrors.mirror('o', [1])
  await mirrors.send(1, KEY, STATE)
  assert.equal(
    sent.map(({ member }) => member),
    ['m', 'o']
  )
  assert.equal(sent[0].request, { type: 'merge', range: 1, key: KEY, state: STATE, standIn: false })
  await mirrors.send(1, KEY, STATE, 'm')
  assert.equal(
    sent.slice(2).map(({ member }) => member),
    ['o']
  )
  assert.is(mirrors.send(3, KEY, STATE), undefined)
})

test('a mirror that fails is dropped, the write is not, and the member has to compare again', async () => {
  const it = world()
  it.mirrors.mirror('m', [1])
  it.answer = unreachable
  await it.mirrors.send(1, KEY, STATE)
  assert.throws(
    () => it.mirrors.seal('m', [1]),
    (error: unknown) => isCoterieError(error, 'range-busy')
  )
  assert.equal((it.mirrors.mirror('m', [1]) as { started: number[] }).started, [1])
})

test('from the seal on no write is acknowledged without the mirror', async () => {
  const it = world()
  it.mirrors.mirror('m', [1])
  it.mirrors.seal('m', [1])
  it.answer = unreachable
  assert.ok(isCoterieError(await failure(it.mirrors.send(1, KEY, STATE)), 'not-available'))
  assert.equal((it.mirrors.mirror('m', [1]) as { continued: number[] }).continued, [1])
  // Until the lease ends.
  it.nowMs += LEASE_MS
  assert.is(await failure(it.mirrors.send(1, KEY, STATE)), undefined)
  assert.equal((it.mirrors.mirror('m', [1]) as { started: number[] }).started, [1])
})

test('all ranges are sealed or none', () => {
  const { mirrors } = world()
  mirrors.mirror('m', [1])
  assert.throws(
    () => mirrors.seal('m', [1, 3]),
    (error: unknown) => isCoterieError(error, 'range-busy') && /range 3/.test(error.message)
  )
})

test('a mirror ends with its lease, with its copy and with the member that gave its own up', async () => {
  const it = world()
  it.mirrors.mirror('m', [1, 3])
  it.nowMs += LEASE_MS / 2
  it.mirrors.mirror('m', [1])
  it.nowMs += LEASE_MS / 2
  it.mirrors.tick()
  assert.is(it.mirrors.size, 1)
  it.statuses.set(1, 'frozen')
  it.mirrors.tick()
  assert.is(it.mirrors.size, 0)
  it.statuses.set(1, 'synced')
  it.mirrors.mirror('m', [1])
  it.answer = async () => ({ type: 'moved', claims: [] })
  await it.mirrors.send(1, KEY, STATE)
  assert.is(it.mirrors.size, 0)
})

test('once both are on the list the member gets its writes as others do', () => {
  const it = world()
  it.mirrors.mirror('m', [1])
  it.mirrors.seal('m', [1])
  it.listed.add('m')
  assert.is(it.mirrors.send(1, KEY, STATE), undefined)
  // The leaving one goes on, until its copy is frozen.
  it.listed.delete('source')
  assert.ok(it.mirrors.send(1, KEY, STATE))
})

test.run()
