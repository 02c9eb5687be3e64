/** Looks at a cluster after a run: waits until it has settled, then asks every node and every replica what it holds. */
import { DEFAULT_SETTINGS } from '../config.ts'
import { asCoterieError, type CoterieError } from '../errors.ts'
import type { MemberStatus } from '../membership/member-record.ts'
import { rangeOfKey } from '../store-requests.ts'
import { decodeState } from '../version/codec.ts'
import { formatDot } from '../version/dot.ts'
import { isDead, type KeyState } from '../version/key-state.ts'
import type { SimClient } from './client.ts'
import type { Cluster } from './cluster.ts'
import { type Findings, type KeyFindings, type NodeFindings, writeOf } from './history.ts'
import type { Machine } from './machine.ts'
import type { SimPort } from './network/network.ts'
import { Operator } from './operator.ts'
import { EPOCH_MS, SimProcess } from './world/process.ts'

const NAME = 'i0'
const TIMEOUT_MS = 2000
const LOOK_EVERY_MS = 500
const QUIET_ROUNDS = 5
const PRESENT: MemberStatus[] = ['joining', 'up']
/** What `stats` says once nothing moves any more; the question itself is in flight. */
const AT_REST = { copiesSyncing: 0, copiesFrozen: 0, rangesAskedFor: 0, transfers: 0, inFlight: 1, hintRanges: 0 }

type Replica = KeyFindings['replicas'][number]

export class Inspector {
  readonly #cluster: Cluster
  readonly #port: SimPort
  readonly #reader: SimClient
  readonly #destroyed: () => boolean
  readonly #operator: Operator
  #orphans = new Set<number>()

  /** `destroyed`: whether a fault may have destroyed data, so that a range may have lost its last complete copy. */
  constructor(cluster: Cluster, destroyed: () => boolean) {
    this.#destroyed = destroyed
    const { world, network } = cluster
    this.#cluster = cluster
    this.#port = network.attach(new SimProcess(world, NAME), {
      peerId: NAME,
      role: 'node',
      wanted: () => []
    })
    this.#operator = new Operator(cluster, this.#port)
    // Its reads are in the history as those of a client of its own.
    this.#reader = cluster.client(-1)
  }

  /** Waits at most `limitMs` of virtual time, then looks at everything. */
  async look(keys: string[], limitMs: number): Promise<Omit<Findings, 'destroyed' | 'ring'>> {
    const { world } = this.#cluster
    const startMs = world.nowMs
    let unsettled: string[] = []
    let sinceMs: number | undefined
    const settled = await world.until(
      async () => {
        unsettled = await this.#unsettled(keys)
        if (unsettled.length > 0 && world.nowMs - startMs > limitMs / 2) await this.#operator.removeForgotten()
        if (unsettled.length > 0) sinceMs = undefined
        else sinceMs ??= world.nowMs
        return sinceMs !== undefined && world.nowMs - sinceMs >= this.#quietMs
      },
      limitMs,
      LOOK_EVERY_MS
    )
    const settledAfterMs = settled ? sinceMs! - startMs : undefined
    const found: KeyFindings[] = []
    for (const key of keys) found.push(await this.#keyFindings(key))
    const nodes = await Promise.all(this.#cluster.present.map(machine => this.#nodeFindings(machine)))
    const left = this.#cluster.joined.filter(({ hasLeft }) => hasLeft).map(({ name }) => name)
    return { settledAfterMs, unsettled, orphans: [...this.#orphans], keys: found, nodes, left }
  }

  /** Between two steps of a movement a cluster looks settled: it has, when a few rounds have brought nothing new. */
  get #quietMs(): number {
    const { gossipIntervalMs, reconcileIntervalMs } = { ...DEFAULT_SETTINGS, ...this.#cluster.plan.settings }
    return QUIET_ROUNDS * Math.max(gossipIntervalMs, reconcileIntervalMs)
  }

  /** What has not settled, in words; the cheap questions first. */
  async #unsettled(keys: string[]): Promise<string[]> {
    const machines = this.#cluster.present
    const starting = machines.filter(({ core }) => core?.ready !== true)
    if (this.#isClusterLost()) return []
    if (starting.length > 0) return starting.map(({ name }) => `${name} does not serve`)
    const views = new Set(machines.map(machine => ownersOf(machine).join()))
    if (views.size > 1) return [`${views.size} different views of who owns what`]
    await this.#findOrphans()
    const unseen = machines.flatMap(machine => this.#unseenBy(machine))
    if (unseen.length > 0) return unseen
    const busy = (await Promise.all(machines.map(machine => this.#busy(machine)))).flat()
    if (busy.length > 0) return busy
    const apart: string[] = []
    for (const key of keys) {
      if (this.#orphans.has(this.#rangeOf(key))) continue
      const replicas = await this.#replicasOf(key)
      const failed = replicas.find(({ error }) => error !== undefined)
      if (failed !== undefined) apart.push(`${failed.node} cannot be asked for ${key}: ${failed.error}`)
      else if (replicas.some(({ synced }) => !synced)) apart.push(`a copy of ${key} is syncing`)
      else if (new Set(replicas.map(({ digest }) => digest)).size > 1) apart.push(`replicas of ${key} differ`)
    }
    return apart
  }

  /** Every directory that knew of the ring was lost: there is no cluster any more, and no node makes a second one of its own. */
  #isClusterLost(): boolean {
    const machines = this.#cluster.present
    const lost = this.#destroyed() && machines.every(({ core }) => core !== undefined && !core.ready)
    if (lost) this.#orphans = new Set(this.#allRanges)
    return lost
  }

  /** Everybody sees everybody up. One that leaves keeps what waits for an operator, and stays for as long. */
  #unseenBy({ name, core }: Machine): string[] {
    const present = this.#orphans.size > 0 ? [...PRESENT, 'leaving'] : PRESENT
    return this.#cluster.present.flatMap(other => {
      const member = core?.membership.member(other.name)
      if (member === undefined) return [`${name} does not know ${other.name}`]
      if (!present.includes(member.record.status)) return [`${name} takes ${other.name} for ${member.record.status}`]
      if (other.name !== name && member.verdict !== 'up') return [`${name} takes ${other.name} for ${member.verdict}`]
      return []
    })
  }

  async #busy({ name, core }: Machine): Promise<string[]> {
    // One that stops right now, too.
    const answer = core?.info('stats').catch(() => undefined)
    const stats = (await answer) as Record<string, unknown> | undefined
    if (stats === undefined) return [`${name} does not serve`]
    const waiting = core!.topology.view.rangesHeldBy(name).filter(range => this.#orphans.has(range)).length
    // A range that waits for an operator holds up the flips of all lists that it is on, and its copies go on comparing.
    const { rangesAskedFor, transfers } = stats
    const asked = this.#orphans.size > 0 ? { rangesAskedFor, transfers } : {}
    // A node whose file failed, and which finds no synced copy, keeps for itself what it cannot put there.
    const { hintRanges, copiesFenced } = stats as Record<'hintRanges' | 'copiesFenced', number>
    const kept = hintRanges <= copiesFenced ? { hintRanges } : {}
    return Object.entries({ ...AT_REST, copiesSyncing: waiting, ...asked, ...kept }).flatMap(([what, rest]) =>
      stats[what] === rest ? [] : [`${name}: ${what} is ${stats[what]}`]
    )
  }

  /**
   * A range that has lost its last synced copy waits for an operator (`accept-loss`, design §6): its copies are syncing for
   * good, and that is what they should be.
   */
  async #findOrphans(): Promise<void> {
    if (!this.#destroyed()) return
    const all = this.#allRanges
    const synced = new Set<number>()
    for (const { name } of this.#cluster.present) {
      const copies = await this.#port.request(name, { type: 'copies', ranges: all }, { timeoutMs: TIMEOUT_MS }).then(
        answer => (answer.type === 'copies' ? answer.copies : []),
        // It has more to say when it serves again.
        () => all.map(range => ({ range, status: 'frozen' as const }))
      )
      // A frozen copy is on its way out or about to thaw: nothing is lost.
      for (const { range, status } of copies) if (status === 'synced' || status === 'frozen') synced.add(range)
    }
    this.#orphans = new Set(all.filter(range => !synced.has(range)))
  }

  async #keyFindings(key: string): Promise<KeyFindings> {
    const reads: KeyFindings['reads'] = []
    for (const { name } of this.#cluster.present) {
      const { values, error } = await this.#reader.readVia(key, name)
      reads.push({ via: name, values, ...(error !== undefined && { error }) })
    }
    return { key, range: this.#rangeOf(key), reads, replicas: await this.#replicasOf(key) }
  }

  /** In the view of the first node that serves. */
  async #replicasOf(key: string): Promise<Replica[]> {
    const view = this.#cluster.present.find(({ core }) => core?.ready)?.core?.topology.view
    const members = view?.preferenceList(this.#rangeOf(key)) ?? []
    const replicas = await Promise.all(members.map(member => this.#replica(member, key)))
    // What is dead goes from one copy after the other.
    const isReaped = replicas.some(({ digest }) => digest === '')
    return replicas.map(replica => (isReaped && replica.dead ? { ...replica, digest: '' } : replica))
  }

  async #replica(node: string, key: string): Promise<Replica & { dead: boolean }> {
    const blank = { node, synced: false, values: [], digest: '', actors: 0, dead: false }
    try {
      const answer = await this.#port.request(
        node,
        { type: 'read', range: this.#rangeOf(key), key: Buffer.from(key), standIn: false },
        { timeoutMs: TIMEOUT_MS }
      )
      if (answer.type !== 'state') return { ...blank, error: `it answered "${answer.type}"` }
      const { synced } = answer
      if (answer.state === undefined) return { ...blank, synced }
      const state = decodeState(answer.state)
      const values = state.siblings.flatMap(({ value }) => (value === undefined ? [] : [writeOf(value)]))
      const dead = isDead(state, EPOCH_MS + this.#cluster.world.nowMs)
      return { node, synced, values, digest: digestOf(state), actors: state.context.vector.size, dead }
    } catch (error) {
      const { code, message }: CoterieError = asCoterieError(error)
      return { ...blank, error: `${code}: ${message}` }
    }
  }

  async #nodeFindings(machine: Machine): Promise<NodeFindings> {
    const { name, core, disk, process, port } = machine
    return {
      node: name,
      owners: ownersOf(machine),
      stats: ((await core?.info('stats')) ?? {}) as Record<string, unknown>,
      pendingEvents: process === undefined ? 0 : this.#cluster.world.pendingOf(process),
      openFiles: process === undefined ? 0 : disk.openFiles(process),
      openStreams: port?.openStreams ?? 0
    }
  }

  get #allRanges(): number[] {
    return Array.from({ length: this.#cluster.params.q }, (_, range) => range)
  }

  #rangeOf(key: string): number {
    return rangeOfKey(Buffer.from(key), this.#cluster.params.q)
  }
}

function ownersOf({ core }: Machine): string[] {
  return core?.topology.claims().map(({ epoch, owner }) => `${epoch} ${owner}`) ?? []
}

/** Equal for equal states; ids of replaced writes are left out, since each replica forgets them by its own clock. */
function digestOf({ context, siblings }: KeyState): string {
  const vector = [...context.vector].map(([actor, counter]) => `${actor}:${counter}`).sort()
  const held = siblings.map(
    ({ dot, value, expiresAtMs }) => `${formatDot(dot)}=${value ? Buffer.from(value) : '-'}@${expiresAtMs}`
  )
  return [vector.join(), context.cloud.map(formatDot).join(), held.join()].join(' | ')
}
