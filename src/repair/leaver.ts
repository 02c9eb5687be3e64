/**
 * A node's way out of its cluster: the others take its ranges as they take a joiner's share, its copies are given up on
 * proof, and what it keeps for others is handed over. Then it says that it has left, and may be stopped (design §6).
 *
 * That it leaves, and that it has left but may not have said so yet, is kept on disk (`leaving.json`): a node that is
 * restarted on its way out goes on.
 */
import type { Background } from '../background.ts'
import type { Peers } from '../coordinator/peers.ts'
import { CoterieError } from '../errors.ts'
import type { FileIo, Log } from '../ports.ts'
import type { CopyTable } from '../replica/copy-table.ts'
import type { StandIns } from '../replica/stand-ins.ts'
import type { Shareholders } from '../shareholders.ts'
import type { Topology } from '../topology.ts'

const FILE = 'leaving.json'
/** Rounds of gossip in which a node that has left says so; whoever misses them hears of it from the others. */
const FAREWELL_ROUNDS = 3

export interface LeaverParts {
  files: FileIo
  log: Log
  background: Background
  topology: Topology
  copies: CopyTable
  standIns: StandIns
  membership: { self: string; roundNow(): Promise<void> }
  peers: Peers
  shareholders: Shareholders
}

export interface LeaverInit {
  dir: string
  /** What others ask of this node: nothing may come in between its last look at what it has and its end. */
  requests: () => { close(): Promise<void>; reopen(): void }
  /** The member record says what is true now. */
  publish: () => void
  /** Nothing is left to do but to stop. */
  onLeft: () => void
}

/** What a leaver still has. `copies`: of ranges, until others have proved to hold them; `hints`: ranges it keeps something of for others. */
export interface Leaving {
  status: 'leaving' | 'left'
  ranges: number
  copies: number
  hints: number
}

export class Leaver {
  readonly #parts: LeaverParts
  readonly #init: LeaverInit
  #status: 'leaving' | 'left' | undefined
  #ending = false
  #over = false

  constructor(parts: LeaverParts, init: LeaverInit) {
    this.#parts = parts
    this.#init = init
  }

  /** Goes on with what an earlier process began, if only to say that it has left. One that has said so joins anew. */
  async open(): Promise<void> {
    const { files, log } = this.#parts
    const bytes = await files.readFile(this.#path)
    if (bytes === undefined) return
    this.#status = isLeaving(bytes) ? 'leaving' : 'left'
    log.info('this node was leaving the cluster when it stopped, and goes on', { status: this.#status })
  }

  /** What the member record says instead of `joining` and `up`. */
  get status(): 'leaving' | 'left' | undefined {
    return this.#status
  }

  get progress(): Leaving | undefined {
    if (this.#status === undefined) return undefined
    const { topology, copies, standIns, membership } = this.#parts
    const ranges = topology.claims().filter(({ owner }) => owner === membership.self).length
    return { status: this.#status, ranges, copies: copies.ranges().length, hints: standIns.ranges().length }
  }

  /**
   * Resolves when it is on disk that this node leaves. Throws `refused` where fewer than N copies would be left of every
   * range, unless `force`; and always for the last node.
   */
  async begin(force: boolean): Promise<void> {
    const { log, topology, membership, shareholders, peers } = this.#parts
    if (this.#status !== undefined) return
    const { n } = topology.params
    const left = shareholders.staying().filter(peerId => peerId !== membership.self && peers.isReachable(peerId)).length
    if (left === 0)
      throw new CoterieError(
        'refused',
        'no other node of the cluster can be reached that stays: there is nobody to give its ranges to'
      )
    if (left < n && !force)
      throw new CoterieError(
        'refused',
        `every range is to have ${n} copies, and ${left} ${left === 1 ? 'node' : 'nodes'} that can be reached would be left: add one first, or force it`
      )
    await this.#write('leaving')
    log.info('leaving the cluster: the others take over what this node holds')
  }

  tick(): void {
    const { background, topology, shareholders } = this.#parts
    if (this.#status === undefined || this.#ending || this.#over || !topology.complete) return
    if (this.#status === 'left') {
      if (this.#hasListeners) this.#finally(this.#sayFarewell())
      return
    }
    if (shareholders.isDeserted(topology.view.owners())) {
      background.run('staying', this.#stay())
      return
    }
    if (this.#isEmpty) this.#finally(this.#end())
  }

  #finally(end: Promise<void>): void {
    this.#ending = true
    const ended = end.finally(() => {
      this.#ending = false
    })
    this.#parts.background.run('leaving the cluster', ended)
  }

  /** Somebody can be told. */
  get #hasListeners(): boolean {
    const { shareholders, peers, membership } = this.#parts
    return shareholders.staying().some(peerId => peerId !== membership.self && peers.isReachable(peerId))
  }

  /** All others have been told to leave as well: nobody is left to take anything. */
  async #stay(): Promise<void> {
    const { files, log } = this.#parts
    this.#status = undefined
    log.warn('nobody else stays in the cluster: this node stays, and takes ranges again')
    await files.unlink(this.#path)
  }

  get #isEmpty(): boolean {
    const { ranges, copies, hints } = this.progress!
    return ranges + copies + hints === 0
  }

  /**
   * Nothing comes in while `work` goes on, nor ever again once this node has left and holds nothing. Else it serves on, however
   * that ended: on a full disk it may take long to have written that it goes on leaving.
   */
  async #whileClosed(work: () => Promise<void>): Promise<void> {
    const requests = this.#init.requests()
    await requests.close()
    try {
      await work()
    } finally {
      if (!this.#over && (this.#status !== 'left' || !this.#isEmpty)) requests.reopen()
    }
  }

  async #end(): Promise<void> {
    await this.#whileClosed(async () => {
      if (this.#isEmpty) await this.#write('left')
    })
    if (this.#status !== 'left') return
    this.#parts.log.info('left the cluster: the others hold all that this node held')
    await this.#sayFarewell()
  }

  async #write(status: 'leaving' | 'left'): Promise<void> {
    await this.#parts.files.replaceFile(this.#path, encode(status))
    this.#status = status
  }

  #sayFarewell(): Promise<void> {
    return this.#whileClosed(async () => {
      // After a restart it serves until somebody can be told: what it took for others meanwhile goes to them first.
      if (this.#isEmpty) return this.#sayLeft()
      await this.#write('leaving')
      this.#parts.log.info('has taken writes since it had left: hands them over first')
    })
  }

  async #sayLeft(): Promise<void> {
    const { files, membership } = this.#parts
    this.#init.publish()
    for (let round = 0; round < FAREWELL_ROUNDS; round++) await membership.roundNow()
    // Cut off just now: it is said again when somebody can be reached.
    if (!this.#hasListeners) return
    await files.unlink(this.#path)
    this.#over = true
    this.#init.onLeft()
  }

  get #path(): string {
    return `${this.#init.dir}/${FILE}`
  }
}

const encode = (status: 'leaving' | 'left'): Uint8Array => new TextEncoder().encode(`${JSON.stringify({ status })}\n`)

/** What cannot be read was written by nobody who had left: the file is replaced as a whole. */
function isLeaving(bytes: Uint8Array): boolean {
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) as { status?: unknown }).status !== 'left'
  } catch {
    return true
  }
}
