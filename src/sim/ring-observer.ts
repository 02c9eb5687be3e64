/**
 * Watches the ring of every node while a run is on, since what must never be may be over long before the run is: two owners
 * of one range at one epoch, two members of one list changed at once. What it saw is judged by `checker/ring.ts`.
 */
import type { Claim } from '../claim.ts'
import type { Core } from '../core.ts'
import { RingView } from '../ring/ring-view.ts'
import type { Handed, ListChange, RingFindings } from './history.ts'
import type { World } from './world/world.ts'

type Rings = Pick<Core, 'topology'>

export class RingObserver {
  readonly found: RingFindings = { claims: [], handed: [] }
  readonly #world: World
  readonly #seen = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  /** To be called before the core starts; what it returns, when it has: it tells nobody what it reads from its disk. */
  watch(node: string, core: Rings): () => void {
    const { topology } = core
    let before: Claim[] | undefined
    const look = (changed: readonly Claim[]) => {
      const now = topology.claims()
      if (before !== undefined) this.#compare(node, core, { before, now, changed })
      this.#note(node, now)
      before = now
    }
    topology.onChange(look)
    return () => look([])
  }

  /**
   * A node that grants changes its ring first and tells so a moment later: what it was told by others in between is told
   * before. So what is new and not in `changed` came first, and is another change.
   */
  #compare(
    node: string,
    core: Rings,
    { before, now, changed }: { before: Claim[]; now: Claim[]; changed: readonly Claim[] }
  ): void {
    const old = new Set(before.map(nameOf))
    const told = new Set(changed.map(nameOf))
    const news = now.filter(claim => !old.has(nameOf(claim)))
    const early = news.filter(claim => !told.has(nameOf(claim)))
    const late = news.filter(claim => told.has(nameOf(claim)))
    this.#judge(node, core, before, early)
    this.#judge(node, core, [...before, ...early], late)
  }

  /** Only grants that it signs now: those that it has forgotten come back to it all at once. */
  #judge(node: string, { topology }: Rings, before: Claim[], granted: Claim[]): void {
    if (granted.length === 0 || !granted.every(claim => claim.grant?.by === node && !this.#seen.has(nameOf(claim))))
      return
    const { q, n } = topology.params
    // As the node has them: it keeps the zones of members whose records it has not heard since its start.
    const { zoneOf } = topology.view.toLayout()
    const viewOf = (claims: Claim[]) => {
      const owners = new Array<string | undefined>(q).fill(undefined)
      for (const { range, owner } of claims) owners[range] = owner
      return new RingView(owners, zoneOf, n)
    }
    const [old, next] = [viewOf(before), viewOf([...before, ...granted])]
    const lists: ListChange[] = []
    for (let range = 0; range < q; range++) {
      const [was, is] = [old.preferenceList(range), next.preferenceList(range)]
      if (`${was}` !== `${is}`) lists.push({ range, before: [...was], after: [...is] })
    }
    const flips: Handed['flips'] = granted.map(({ range, owner }) => ({ range, to: owner }))
    this.found.handed.push({ node, atMs: this.#world.nowMs, flips, lists })
  }

  #note(node: string, claims: Claim[]): void {
    for (const claim of claims) {
      const name = nameOf(claim)
      if (this.#seen.has(name)) continue
      this.#seen.add(name)
      const { range, epoch, owner, grant } = claim
      this.found.claims.push({ range, epoch, owner, by: grant?.by, node, atMs: this.#world.nowMs })
    }
  }
}

const nameOf = ({ range, epoch, owner }: Claim): string => `${range} ${epoch} ${owner}`
