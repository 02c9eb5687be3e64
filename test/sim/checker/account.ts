/** Hand-made histories for the tests of the checker: who did what when, in as few words as possible. */
import { check } from '../../../src/sim/checker/check.ts'
import {
  type Findings,
  History,
  type KeyFindings,
  type ReadRecord,
  type WriteRecord
} from '../../../src/sim/history.ts'
import type { Fault, Plan } from '../../../src/sim/plan/plan.ts'

export const NODES = ['n0', 'n1', 'n2']
/** Nothing moves any more by then. */
export const CALM_MS = 60_000

interface WriteWords extends Partial<Omit<WriteRecord, 'id' | 'value'>> {
  /** When it was sent, virtual ms. */
  at: number
  /** Until the answer came; default 10. */
  took?: number
}

interface ReadWords extends Partial<Omit<ReadRecord, 'id'>> {
  at: number
  took?: number
}

/** A run of three nodes, N 3, R 2, W 2, where a message may be lost; every operation succeeds unless said otherwise. */
export class Account {
  readonly plan: Plan
  readonly history = new History()
  readonly findings: Findings

  constructor(plan: Partial<Plan> = {}) {
    this.plan = {
      seed: '1',
      scenario: 'swarm',
      params: { q: 8, n: 3, r: 2, w: 2 },
      settings: { durability: 'disk' },
      nodes: NODES.map(name => ({ name, joinAtMs: 0, zone: '', capacity: 1, skewMs: 0, drift: 0 })),
      links: { minMs: 1, meanMs: 1, slowChance: 0, slowMs: 0, loss: 0.001, replay: 0 },
      disks: { readMs: 0.1, writeMs: 0.1, syncMs: 1 },
      operations: [],
      faults: [],
      healAtMs: 200_000,
      settleMs: 100_000,
      ...plan
    }
    const node = (name: string) => ({
      node: name,
      owners: Array.from(
        { length: this.plan.params.q },
        (_, range) => `1 ${this.plan.nodes[range % this.plan.nodes.length].name}`
      ),
      stats: {
        inFlight: 0,
        background: {},
        transfers: 0,
        copiesSyncing: 0,
        copiesFrozen: 0,
        rangesAskedFor: 0,
        hints: 0
      },
      pendingEvents: 9,
      openFiles: 3,
      openStreams: 6
    })
    this.findings = {
      settledAfterMs: 5000,
      unsettled: [],
      orphans: [],
      left: [],
      keys: [],
      nodes: this.plan.nodes.map(({ name }) => node(name)),
      destroyed: [],
      ring: { claims: [], handed: [] }
    }
  }

  put(words: WriteWords): WriteRecord {
    return this.#write(words, false)
  }

  delete(words: WriteWords): WriteRecord {
    return this.#write(words, true)
  }

  read({ at, took = 10, ...given }: ReadWords): ReadRecord {
    const read = this.history.beginRead({ key: 'k0', client: 0, startMs: at })
    const seen = { outcome: 'answered', endMs: at + took, replies: 2, via: 'n0' } as const
    Object.assign(read, seen, given)
    if (given.dots === undefined) read.dots = read.values.map(id => this.history.writes[id]?.dot ?? `x:${id}`)
    return read
  }

  /** Everybody reads these values of the key in the end, and every replica holds them; or what `change` makes of it. */
  end(values: number[], change: (found: KeyFindings) => void = () => {}, key = 'k0'): this {
    const found: KeyFindings = {
      key,
      range: 0,
      reads: NODES.map(via => ({ via, values: [...values] })),
      replicas: NODES.map(node => ({ node, synced: true, values: [...values], digest: `holds ${values}`, actors: 1 }))
    }
    change(found)
    this.findings.keys.push(found)
    return this
  }

  /** Carried out as the simulator does: noted as destroying when it does. */
  fault(fault: Fault): this {
    this.plan.faults.push(fault)
    if (
      'node' in fault &&
      ['wipe', 'power-cut', 'bit-rot', 'eio', 'lost-write', 'misdirected-write'].includes(fault.kind)
    ) {
      this.findings.destroyed.push({ node: fault.node, atMs: fault.atMs, how: fault.kind })
    }
    return this
  }

  wipe(node: string, atMs: number): this {
    return this.fault({ kind: 'wipe', atMs, forMs: 1000, node })
  }

  cut(node: string, atMs: number): this {
    return this.fault({ kind: 'power-cut', atMs, forMs: 1000, node, torn: false })
  }

  /** The rules that were broken, each once. */
  broken(rules?: Record<string, boolean>): string[] {
    return [...new Set(this.check(rules).map(({ rule }) => rule))]
  }

  check(rules?: Record<string, boolean>) {
    return check(this.plan, this.history, this.findings, { rules })
  }

  #write({ at, took = 10, ...given }: WriteWords, isDelete: boolean): WriteRecord {
    const record = this.history.beginWrite(
      { key: 'k0', client: 0, covers: [], startMs: at, expiresAtMs: undefined },
      isDelete
    )
    const answered = {
      outcome: 'acked',
      endMs: at + took,
      acks: 2,
      readReplies: 2,
      dot: `a:${record.id}`,
      via: 'n0'
    } as const
    const unanswered = { outcome: 'unknown', endMs: at + took, error: 'timeout: late' } as const
    return Object.assign(
      record,
      given.outcome === undefined || given.outcome === 'acked' ? answered : unanswered,
      given
    )
  }
}
