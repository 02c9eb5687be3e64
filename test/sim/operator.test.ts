/** When the operator of a simulated cluster removes a member that has left: where nobody can know it any more, and only there. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Request } from '../../src/messages.ts'
import type { Cluster } from '../../src/sim/cluster.ts'
import type { SimPort } from '../../src/sim/network/network.ts'
import { Operator } from '../../src/sim/operator.ts'

const test = suite('operator')
const LEFT_AT_MS = 1000

interface Node {
  bootedAtMs: number
  /** What it says of the one that has left; absent: it does not know it. */
  says?: { status: string; verdict: string }
  removed?: boolean
  ready?: boolean
}

/** Who was asked to remove the one that left, after nodes `n0`, `n1` … have said what they think of it. */
async function removals(...nodes: Node[]): Promise<string[]> {
  const asked: string[] = []
  const present = nodes.map(({ bootedAtMs, says, removed = false, ready = true }, i) => ({
    name: `n${i}`,
    hasLeft: false,
    bootedAtMs,
    core: {
      ready,
      membership: {
        isRemoved: () => removed,
        member: () => says && { verdict: says.verdict, record: { status: says.status } }
      }
    }
  }))
  const gone = { name: 'gone', hasLeft: true, leftAtMs: LEFT_AT_MS, bootedAtMs: 0 }
  const world = { nowMs: 0, log: { add: () => {} } }
  const cluster = { world, joined: [...present, gone], present } as unknown as Cluster
  const request = async (name: string, request: Request) => {
    if (request.type === 'manage') asked.push(`${name} ${request.action} ${request.peerId}`)
  }
  await new Operator(cluster, { request } as unknown as SimPort).removeForgotten()
  return asked
}

const dead = { status: 'leaving', verdict: 'down' }

test('a member that left, and whom everybody who heard of it has forgotten in a restart', async () => {
  const started = { bootedAtMs: LEFT_AT_MS + 1 }
  assert.equal(await removals({ bootedAtMs: 0, says: dead }, started), ['n0 remove gone'])
  assert.equal(await removals(started, { ...started, says: dead }), ['n1 remove gone'])
})

test('not while somebody knows, may know, or has never been told', async () => {
  const started = { bootedAtMs: LEFT_AT_MS + 1, says: dead }
  assert.equal(await removals(started, { bootedAtMs: 0, says: { status: 'left', verdict: 'down' } }), [])
  assert.equal(await removals(started, { bootedAtMs: 0, says: dead, ready: false }), [])
  assert.equal(await removals(started, { bootedAtMs: 0, removed: true }), [])
  assert.equal(
    await removals({ bootedAtMs: 0, says: dead }, { bootedAtMs: 0, says: dead }),
    [],
    'a leaver that told nobody'
  )
  assert.equal(await removals({ ...started, says: { status: 'leaving', verdict: 'suspect' } }), [])
})

test.run()
