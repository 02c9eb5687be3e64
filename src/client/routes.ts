/**
 * Where a client sends its requests: to a node on the key's preference list, which then coordinates without a detour;
 * to any other member when those do not answer. Learnt from `ring` and `members` of any node; being wrong costs one hop.
 */
import { RingView } from '../ring/ring-view.ts'

export interface RingDocument {
  q: number
  n: number
  owners: { range: number; owner: string }[]
}
export interface MemberDocument {
  peerId: string
  status: string
  alive: boolean
  zone: string
  addresses: string[]
}

/** Weight of the newest sample in the moving average of latency. */
const LATENCY_WEIGHT = 0.2
/** A member that failed is asked last for this long. */
const AVOID_MS = 5000
/** One that has answered within this long is well, whatever another node thinks of it: that one may be cut off, and not this client. */
const ANSWERED_MS = 5000

export class Routes {
  #view: RingView | undefined
  #members = new Map<string, MemberDocument>()
  readonly #latencyMs = new Map<string, number>()
  readonly #answeredMs = new Map<string, number>()
  readonly #avoidUntilMs = new Map<string, number>()

  learn(ring: RingDocument, members: MemberDocument[]): void {
    this.#members = new Map(members.filter(({ status }) => status !== 'left').map(member => [member.peerId, member]))
    const owners: (string | undefined)[] = new Array(ring.q).fill(undefined)
    for (const { range, owner } of ring.owners) owners[range] = owner
    this.#view = new RingView(owners, peerId => this.#members.get(peerId)?.zone ?? '', ring.n)
  }

  get known(): boolean {
    return this.#view !== undefined
  }

  members(): string[] {
    return [...this.#members.keys()]
  }

  addressesOf(peerId: string): string[] {
    return this.#members.get(peerId)?.addresses ?? []
  }

  answered(peerId: string, ms: number, nowMs: number): void {
    const known = this.#latencyMs.get(peerId)
    this.#latencyMs.set(peerId, known === undefined ? ms : known + LATENCY_WEIGHT * (ms - known))
    this.#answeredMs.set(peerId, nowMs)
    this.#avoidUntilMs.delete(peerId)
  }

  failed(peerId: string, nowMs: number): void {
    this.#avoidUntilMs.set(peerId, nowMs + AVOID_MS)
  }

  /** All that may be asked, best first: list members by latency, then the others; those that failed lately last. */
  order(range: number | undefined, connected: string[], nowMs: number): string[] {
    const list = range === undefined || this.#view === undefined ? [] : this.#view.preferenceList(range)
    const candidates = new Set([...list, ...connected, ...this.#members.keys()])
    const seemsDown = (peerId: string) =>
      this.#members.get(peerId)?.alive === false &&
      nowMs - (this.#answeredMs.get(peerId) ?? Number.NEGATIVE_INFINITY) >= ANSWERED_MS
    const rank = (peerId: string) => {
      const avoided = (this.#avoidUntilMs.get(peerId) ?? 0) > nowMs || seemsDown(peerId)
      const place = list.includes(peerId) ? 0 : connected.includes(peerId) ? 1e6 : 2e6
      return (avoided ? 1e7 : 0) + place + (this.#latencyMs.get(peerId) ?? 0)
    }
    return [...candidates].sort((a, b) => rank(a) - rank(b))
  }
}
