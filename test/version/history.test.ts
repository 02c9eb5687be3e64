/**
 * Key states against an oracle of causal histories: replicas take random writes, merge in random order and lose
 * everything now and then; clients read, write with and without what they read, and send writes again. The oracle
 * keeps plain sets: what each replica has heard of, and what the writer of each write had seen.
 */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CausalContext, EMPTY_CONTEXT, withDot } from '../../src/version/causal-context.ts'
import { decodeState, encodeState } from '../../src/version/codec.ts'
import { emptyState, type KeyState, merge, write } from '../../src/version/key-state.ts'
import { idOf, NOW } from './arbitraries.ts'

const test = suite('version/history')
const REPLICAS = 4
const CLIENTS = 3

interface Replica {
  state: KeyState
  actor: string
  counter: number
  /** Writes that it has heard of, live or replaced. Always with all that their writers had seen. */
  heard: Set<string>
}
interface Client {
  context: CausalContext | undefined
  seen: Set<string>
}
interface Put {
  writeId: string
  value: Uint8Array | undefined
  context: CausalContext | undefined
  seen: Set<string>
}

const replicaArb = fc.nat(REPLICAS - 1)
const clientArb = fc.nat(CLIENTS - 1)
const stepArb = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), replica: replicaArb, client: clientArb }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      replica: replicaArb,
      client: clientArb,
      other: replicaArb
    })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), client: clientArb }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('merge' as const), replica: replicaArb, other: replicaArb }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('retry' as const), replica: replicaArb, back: fc.nat(5), client: clientArb })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wipe' as const), replica: replicaArb }) },
  // Counters run over the whole copy: writes to other keys make gaps.
  { weight: 1, arbitrary: fc.record({ do: fc.constant('elsewhere' as const), replica: replicaArb }) }
)
type Step = typeof stepArb extends fc.Arbitrary<infer T> ? T : never

class History {
  readonly puts: Put[] = []
  readonly clients: Client[] = Array.from({ length: CLIENTS }, () => ({ context: undefined, seen: new Set() }))
  readonly replicas: Replica[]
  #actors = 0

  constructor() {
    this.replicas = Array.from({ length: REPLICAS }, () => this.#freshReplica())
  }

  run(step: Step): void {
    if (step.do === 'put') this.#put(step.replica, this.clients[step.client])
    else if (step.do === 'read')
      this.#read(this.clients[step.client], this.replicas[step.replica], this.replicas[step.other])
    else if (step.do === 'forget') this.clients[step.client] = { context: undefined, seen: new Set() }
    else if (step.do === 'merge') this.#merge(this.replicas[step.replica], this.replicas[step.other])
    else if (step.do === 'retry') this.#retry(step.replica, step.back, this.clients[step.client])
    else if (step.do === 'wipe') this.replicas[step.replica] = this.#freshReplica()
    else this.replicas[step.replica].counter++
  }

  /** What everybody knows together: ids of the siblings, and of those that the oracle expects. */
  settle(order: number[]): { found: string[]; expected: string[] } {
    let state = emptyState()
    for (const index of order) state = merge(state, this.replicas[index].state, NOW)
    const heard = new Set(this.replicas.flatMap(replica => [...replica.heard]))
    const replaced = new Set(this.puts.filter(({ writeId }) => heard.has(writeId)).flatMap(({ seen }) => [...seen]))
    const found = new Set(state.siblings.map(({ writeId }) => writeId))
    return { found: [...found].sort(), expected: [...heard].filter(id => !replaced.has(id)).sort() }
  }

  #put(replica: number, client: Client): void {
    const number = this.puts.length
    const value = number % 5 === 4 ? undefined : new Uint8Array([number])
    const put: Put = { writeId: idOf(number), value, context: client.context, seen: new Set(client.seen) }
    this.puts.push(put)
    this.#send(put, this.replicas[replica], client)
  }

  #retry(replica: number, back: number, client: Client): void {
    const put = this.puts.at(-1 - back)
    if (put) this.#send(put, this.replicas[replica], client)
  }

  /** The answer leaves the client with what it had sent and the write itself. */
  #send({ writeId, value, context, seen }: Put, replica: Replica, client: Client): void {
    const dot = { actor: replica.actor, counter: replica.counter + 1 }
    const result = write(replica.state, { dot, value, context, writeId, expiresAtMs: 0, nowMs: NOW })
    if (!result.repeated) replica.counter++
    replica.state = result.state
    for (const id of seen) replica.heard.add(id)
    replica.heard.add(writeId)
    client.context = withDot(context ?? EMPTY_CONTEXT, result.dot)
    client.seen = new Set([...seen, writeId])
  }

  #read(client: Client, one: Replica, other: Replica): void {
    client.context = merge(one.state, other.state, NOW).context
    client.seen = new Set([...one.heard, ...other.heard])
  }

  /** Through the bytes, as between nodes. */
  #merge(into: Replica, from: Replica): void {
    into.state = merge(into.state, decodeState(encodeState(from.state)), NOW)
    for (const id of from.heard) into.heard.add(id)
  }

  #freshReplica(): Replica {
    return { state: emptyState(), actor: (++this.#actors).toString(16).padStart(16, '0'), counter: 0, heard: new Set() }
  }
}

function settled(steps: readonly Step[], order: number[]) {
  const history = new History()
  for (const step of steps) history.run(step)
  return history.settle(order)
}

const orderArb = fc.shuffledSubarray([0, 1, 2, 3], { minLength: REPLICAS, maxLength: REPLICAS })

test('every write that nobody saw survives, every write that was seen and replaced is gone', () => {
  const steps = fc.array(
    stepArb.filter(step => step.do !== 'wipe'),
    { maxLength: 40 }
  )
  fc.assert(
    fc.property(steps, orderArb, (history, order) => {
      const { found, expected } = settled(history, order)
      assert.equal(found, expected)
    }),
    { numRuns: 800 }
  )
})

test('copies that lose everything and go on under a new actor lose nothing that another copy has', () => {
  fc.assert(
    fc.property(fc.array(stepArb, { maxLength: 40 }), orderArb, (history, order) => {
      const { found, expected } = settled(history, order)
      // A wiped copy may have been the only one to know that two dots are one write, so a retry may show again.
      for (const id of expected) assert.ok(found.includes(id), `write ${id} is lost`)
    }),
    { numRuns: 800 }
  )
})

test('without retries, not even a wiped copy brings back what was replaced', () => {
  const steps = fc.array(
    stepArb.filter(step => step.do !== 'retry'),
    { maxLength: 40 }
  )
  fc.assert(
    fc.property(steps, orderArb, (history, order) => {
      const { found, expected } = settled(history, order)
      assert.equal(found, expected)
    }),
    { numRuns: 800 }
  )
})

test.run()
