/** Constant load on a memory cluster, and the account of what was acknowledged and of what the replicas hold. */
import { storedKey } from '../../src/replica/stored-key.ts'
import { rangeOf } from '../../src/ring/position.ts'
import { covers } from '../../src/version/causal-context.ts'
import { decodeState, stateTag } from '../../src/version/codec.ts'
import { parseDot } from '../../src/version/dot.ts'
import { decodeContext, tokenFromString } from '../../src/version/token.ts'
import type { MemoryCluster, MemoryNode } from './memory-cluster.ts'
import { bytesOf, textOf } from './memory-replica.ts'

interface Acked {
  key: string
  value: string
  dot: string
}

export class Load {
  readonly #cluster: MemoryCluster
  readonly keys: string[]
  readonly acked: Acked[] = []
  readonly failures: Error[] = []
  operations = 0
  #stopped = false
  #workers: Promise<void>[] = []

  constructor(cluster: MemoryCluster, keys: number) {
    this.#cluster = cluster
    this.keys = Array.from({ length: keys }, (_, i) => `load-${i}`)
  }

  /** `through`: the nodes that clients talk to. */
  start(workers: number, through: () => MemoryNode[] = () => this.#ready()): this {
    this.#workers = Array.from({ length: workers }, (_, worker) => this.#work(worker, through))
    return this
  }

  #ready(): MemoryNode[] {
    return [...this.#cluster.nodes.values()].filter(({ core }) => core.ready)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
  }

  async #work(worker: number, through: () => MemoryNode[]): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const nodes = through()
      const node = nodes[(i + worker) % nodes.length]
      const key = this.keys[(i * 7 + worker * 3) % this.keys.length]
      try {
        await this.#operation(node, key, `w${worker}-${i}`, i)
      } catch (error) {
        this.failures.push(error as Error)
      }
      this.operations++
      // A turn for everybody else.
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  async #operation({ core }: MemoryNode, key: string, value: string, i: number): Promise<void> {
    const { store } = core
    // Mostly read and replace; sometimes blind, which makes siblings for the next one to replace.
    const context = i % 5 === 0 ? undefined : (await store.get(key)).context
    const { dot } = await store.put(key, value, { context })
    this.acked.push({ key, value, dot })
  }

  /** Acknowledged writes that are neither readable through `node` nor covered by what is. */
  async lost(node: MemoryNode): Promise<Acked[]> {
    const lost: Acked[] = []
    const byKey = Map.groupBy(this.acked, ({ key }) => key)
    for (const [key, acked] of byKey) {
      const { siblings, context } = await node.core.store.get(key, { r: 'all' })
      const scope = { clusterId: this.#cluster.params.clusterId, key: bytesOf(key) }
      const seen = decodeContext(tokenFromString(context), scope)
      const live = new Map(siblings.map(({ dot, value }) => [dot, textOf(value)]))
      for (const entry of acked) {
        const there = live.has(entry.dot) ? live.get(entry.dot) === entry.value : covers(seen, parseDot(entry.dot))
        if (!there) lost.push(entry)
      }
      // Something must be left of a key that nobody deleted.
      if (live.size === 0) lost.push(...acked)
    }
    return lost
  }
}

/** How the members of each key's preference list differ: one line for each key that is not the same on all of them. */
export async function differences(cluster: MemoryCluster, keys: string[]): Promise<string[]> {
  const probe = cluster.hub.network('probe')
  const { view } = [...cluster.nodes.values()][0].core.topology
  const lines: string[] = []
  for (const key of keys) {
    const range = rangeOf(storedKey(bytesOf(key)), cluster.params.q)
    const found = new Set<string>()
    for (const peerId of view.preferenceList(range)) {
      const answer = await probe.request(
        peerId,
        { type: 'read', range, key: bytesOf(key), standIn: false },
        { timeoutMs: 3000 }
      )
      if (answer.type !== 'state') found.add(answer.type)
      else found.add(answer.state === undefined ? 'nothing' : String(stateTag(decodeState(answer.state))))
    }
    if (found.size > 1) lines.push(`${key} in range ${range}: ${[...found].join(', ')}`)
  }
  probe.close()
  return lines
}
