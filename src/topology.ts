/**
 * The ring as this node sees it: the owner map, kept on disk (`ring.bin`), and the snapshot that requests are routed by.
 * Facts come from member records, from answers and from this node's own grants; they only grow (design §6).
 */
import { type Claim, grantMessage, reclaimMessage } from './claim.ts'
import type { ClusterParams } from './config.ts'
import { CoterieError } from './errors.ts'
import type { FileIo, Log, Signer } from './ports.ts'
import { OwnerMap } from './ring/owner-map.ts'
import { type Flip, RingView } from './ring/ring-view.ts'
import { WholeFile } from './whole-file.ts'

const FILE = 'ring.bin'

export interface TopologyInit {
  dir: string
  params: ClusterParams
  zoneOf: (peerId: string) => string
}

export class Topology {
  readonly #files: FileIo
  readonly #signer: Signer
  readonly #log: Log
  readonly #file: WholeFile
  readonly #init: TopologyInit
  #map: OwnerMap
  #view: RingView | undefined
  #version = 0
  #damaged = false
  readonly #listeners = new Set<(changed: Claim[]) => void>()
  readonly #collisionListeners = new Set<(lost: Claim) => unknown>()

  constructor(ports: { files: FileIo; signer: Signer; log: Log }, init: TopologyInit) {
    this.#files = ports.files
    this.#signer = ports.signer
    this.#log = ports.log
    this.#init = init
    this.#file = new WholeFile(ports.files, `${init.dir}/${FILE}`, () => this.#map.encode())
    this.#map = new OwnerMap(init.params.q)
  }

  /** Reads the owner map of an earlier run; a damaged one is put aside and learnt again from the others. */
  async open(): Promise<void> {
    const bytes = await this.#files.readFile(this.#file.path)
    if (bytes === undefined) {
      this.#damaged = (await this.#files.readFile(`${this.#file.path}.damaged`)) !== undefined
      return
    }
    try {
      const map = OwnerMap.decode(bytes)
      if (map.q !== this.#init.params.q)
        throw new CoterieError('damaged', `it has ${map.q} ranges, the cluster ${this.#init.params.q}`)
      this.#map = map
    } catch (error) {
      this.#damaged = true
      await this.#files.rename(this.#file.path, `${this.#file.path}.damaged`)
      this.#log.warn('the owner map on disk is damaged; put aside, to be learnt from the other nodes', {
        file: this.#file.path,
        error: String(error)
      })
    }
    this.#changed()
  }

  /** There was an owner map here and it is lost: this node has owned ranges before, whatever it knows now. */
  get damaged(): boolean {
    return this.#damaged
  }

  get params(): ClusterParams {
    return this.#init.params
  }

  /** Grows with every change of owners or zones. */
  get version(): number {
    return this.#version
  }

  get view(): RingView {
    this.#view ??= new RingView(this.#map.ownerList(), this.#init.zoneOf, this.#init.params.n)
    return this.#view
  }

  /** True once every range has an owner: until then nothing can be routed. */
  get complete(): boolean {
    return this.#map.isComplete()
  }

  claim(range: number): Claim | undefined {
    return this.#map.claim(range)
  }

  claims(): Claim[] {
    return this.#map.claims()
  }

  /** The facts that decide the preference list of a range: those of the walk that finds its members. */
  claimsAround(range: number): Claim[] {
    const { q } = this.#init.params
    // With zones the walk may go past more than N owners before it has found its members.
    const missing = new Set(this.view.preferenceList(range))
    const claims: Claim[] = []
    for (let step = 0; step < q && missing.size > 0; step++) {
      const claim = this.#map.claim((range + step) % q)
      if (claim === undefined) continue
      missing.delete(claim.owner)
      claims.push(claim)
    }
    return claims
  }

  /** What this node's member record says: its own claims, and its grants, which reach everybody even if the thief is gone. */
  ownClaims(): Claim[] {
    const self = this.#signer.peerId
    return this.#map.claims().filter(claim => claim.owner === self || claim.grant?.by === self)
  }

  /**
   * Takes facts in; resolves when those that were news are on disk. A claim above epoch 1 that nobody has signed is refused
   * and logged. Returns what changed.
   */
  async apply(claims: Claim[]): Promise<Claim[]> {
    const { changed, written } = await this.#takeIn(claims)
    await written
    return changed
  }

  /**
   * The same for an operation under way, which needs to know and not to keep: a disk that is full fails no read, and no write
   * whose replicas have room. What a node forgets so it hears of again.
   */
  async learn(claims: Claim[]): Promise<Claim[]> {
    const { changed, written } = await this.#takeIn(claims)
    await written?.catch(error => {
      this.#log.warn('the owner map could not be written down', { file: this.#file.path, error: String(error) })
    })
    return changed
  }

  /** `written`: the change's way to disk, where there is one. */
  async #takeIn(claims: Claim[]): Promise<{ changed: Claim[]; written?: Promise<void> }> {
    const [signed, unsigned]: [Claim[], Claim[]] = [[], []]
    for (const claim of claims)
      if (this.#isNews(claim) || this.#isRival(claim)) (this.#isSigned(claim) ? signed : unsigned).push(claim)
    if (unsigned.length > 0) this.#warnOfUnsigned(unsigned)
    const rivals = signed.filter(claim => this.#isRival(claim))
    const held = new Map(rivals.map(({ range }) => [range, this.#map.claim(range)!]))
    const changed = this.#map.merge(signed.filter(claim => this.#isNews(claim)))
    let written: Promise<void> | undefined
    if (changed.length > 0) {
      this.#changed()
      if (rivals.length === 0) written = this.#file.write()
      for (const listener of this.#listeners) listener(changed)
    }
    // Before the map says so on disk: a node that is killed in between has the collision before it once more.
    for (const rival of rivals) {
      const other = held.get(rival.range)!
      const lost = rival.owner < other.owner ? other : rival
      for (const listener of this.#collisionListeners) await listener(lost)
    }
    if (changed.length > 0) written ??= this.#file.write()
    return { changed, ...(written && { written }) }
  }

  /**
   * Gives ranges of this node away: the grants are on disk before anybody, this node included, acts on them, so that no
   * crash makes it sign twice for one epoch (design §6). Ranges that are no longer its own are left out; nothing is given
   * away if `stillPlanned` says that the ring has changed under the plan, before the grants were written or meanwhile.
   */
  grant(flips: readonly Flip[], stillPlanned?: () => boolean): Promise<Claim[]> {
    return this.#give(flips, owner => owner === this.#signer.peerId, grantMessage, stillPlanned)
  }

  /**
   * Takes ranges from owners that are dead, by this member's word; the rest as `grant`. The caller hears most of the
   * cluster, and has had new members of lists copy first.
   */
  reclaim(flips: readonly Flip[], isDead: (owner: string) => boolean, stillPlanned?: () => boolean): Promise<Claim[]> {
    return this.#give(flips, isDead, reclaimMessage, stillPlanned)
  }

  async #give(
    flips: readonly Flip[],
    isGiver: (owner: string) => boolean,
    message: typeof grantMessage,
    stillPlanned: () => boolean = () => true
  ): Promise<Claim[]> {
    let granted: Claim[] = []
    await this.#file.inTurn(async () => {
      if (!stillPlanned()) return
      const given = flips.filter(({ range }) => isGiver(this.#map.owner(range) ?? ''))
      granted = given.map(({ range, to }) => this.#sign(range, to, message))
      const next = OwnerMap.decode(this.#map.encode())
      next.merge(granted)
      await this.#files.replaceFile(this.#file.path, next.encode())
      if (stillPlanned()) this.#map.merge(granted)
      else {
        granted = []
        await this.#files.replaceFile(this.#file.path, this.#map.encode())
      }
    })
    if (granted.length === 0) return granted
    this.#changed()
    for (const listener of this.#listeners) listener(granted)
    return granted
  }

  #sign(range: number, owner: string, message: typeof grantMessage): Claim {
    const claim = { range, epoch: this.#map.claim(range)!.epoch + 1, owner }
    const signature = this.#signer.sign(message(this.#init.params.clusterId, claim))
    return { ...claim, grant: { by: this.#signer.peerId, signature } }
  }

  /** A member's zone changed: lists may differ though owners do not. */
  invalidate(): void {
    this.#changed()
    for (const listener of this.#listeners) listener([])
  }

  onChange(listener: (changed: Claim[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Two members have taken one range at once: tells of the claim that lost, once the map says so. What the listener gives is
   * waited for.
   */
  onCollision(listener: (lost: Claim) => unknown): () => void {
    this.#collisionListeners.add(listener)
    return () => this.#collisionListeners.delete(listener)
  }

  #changed(): void {
    this.#view = undefined
    this.#version++
  }

  #isNews(claim: Claim): boolean {
    if (!(claim.range >= 0 && claim.range < this.#init.params.q)) return false
    const known = this.#map.claim(claim.range)
    return (
      known === undefined || claim.epoch > known.epoch || (claim.epoch === known.epoch && claim.owner < known.owner)
    )
  }

  /** Another owner at the same epoch. */
  #isRival(claim: Claim): boolean {
    const known = this.#map.claim(claim.range)
    return known !== undefined && claim.epoch === known.epoch && claim.owner !== known.owner
  }

  /**
   * Whose word it is does not depend on what this node knows of the owners before, or two nodes that hear of a collision in
   * different order would never agree.
   */
  #isSigned(claim: Claim): boolean {
    const { grant } = claim
    const { clusterId } = this.#init.params
    // Only a founder begins, and a cluster has one: nobody takes a range that is owned by beginning again.
    if (claim.epoch === 1 && this.#map.claim(claim.range) === undefined) return true
    if (grant !== undefined) {
      const isBy = (message: typeof grantMessage) =>
        this.#signer.verify(grant.by, message(clusterId, claim), grant.signature)
      if ((grant.by !== claim.owner && isBy(grantMessage)) || isBy(reclaimMessage)) return true
    }
    return false
  }

  /** Once for all of a record: a second founder, made by hand, claims every range at each of its words. */
  #warnOfUnsigned(claims: Claim[]): void {
    const [{ range, epoch, owner }] = claims as [Claim]
    this.#log.warn('refused claims that nobody has signed', { ranges: claims.length, range, epoch, owner })
  }
}
