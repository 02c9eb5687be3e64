/**
 * Two members have taken one range at once, and writes went by the lists of either: who is on a list of the winner's and
 * would not be on the other's may lack what was acknowledged there, and is no vote before it has been compared (design §6).
 *
 * Which collisions have been seen to is kept on disk (`collisions.json`), as long as the ranges stand at these epochs: the
 * record of a member that died goes on telling of the claim that lost, and to doubt copies again at every start
 * could leave a list with nobody in sync.
 */
import type { Claim } from '../claim.ts'
import type { FileIo, Log } from '../ports.ts'
import type { CopyTable } from '../replica/copy-table.ts'
import type { Replicas } from '../replica/replicas.ts'
import { flipEffects } from '../ring/flips.ts'
import type { Topology } from '../topology.ts'
import { WholeFile } from '../whole-file.ts'

const FILE = 'collisions.json'

export interface CollisionParts {
  files: FileIo
  log: Log
  topology: Topology
  replicas: Pick<Replicas, 'status' | 'doubt'>
  copies: Pick<CopyTable, 'set'>
}

type Lost = Pick<Claim, 'range' | 'epoch' | 'owner'>

export class Collisions {
  readonly #parts: CollisionParts
  readonly #self: string
  readonly #file: WholeFile
  /** Claims that have lost against others of their epoch, and have been seen to. Undefined: the file has not been read yet. */
  #settled: Map<string, Lost> | undefined
  #settling: Promise<void> = Promise.resolve()

  constructor(parts: CollisionParts, init: { self: string; dir: string }) {
    this.#parts = parts
    this.#self = init.self
    this.#file = new WholeFile(parts.files, `${init.dir}/${FILE}`, () => this.#encode())
  }

  /** Resolves when it is on disk which copies count no more. One after the other. */
  settle(lost: Claim): Promise<void> {
    this.#settling = this.#settling.then(() => this.#settle(lost))
    return this.#settling
  }

  async #settle({ range, epoch, owner }: Claim): Promise<void> {
    const { topology, replicas, copies, log } = this.#parts
    try {
      // Read when the first collision is heard of, not at every start: there are few.
      this.#settled ??= await this.#read()
    } catch (error) {
      log.warn('it cannot be read which collisions have been seen to; copies may be compared again', {
        file: this.#file.path,
        error: String(error)
      })
      this.#settled = new Map()
    }
    const name = nameOf({ range, epoch, owner })
    if (this.#settled.has(name)) return
    this.#settled.set(name, { range, epoch, owner })
    const doubtful = flipEffects(topology.view, [{ range, to: owner }])
      .filter(({ leaving }) => leaving.includes(this.#self))
      .map(({ range: list }) => list)
      .filter(list => replicas.status(list) === 'synced')
    for (const list of doubtful) replicas.doubt(list, 'another node took a range of its list at the same time')
    try {
      // In this order: what is settled on disk is not looked at again.
      await copies.set(doubtful, 'syncing')
      await this.#file.write()
    } catch (error) {
      log.error(
        'it could not be written down that two nodes have taken one range; after a restart it may be seen to again',
        {
          range,
          error: String(error)
        }
      )
    }
  }

  async #read(): Promise<Map<string, Lost>> {
    const bytes = await this.#parts.files.readFile(this.#file.path)
    if (bytes === undefined) return new Map()
    const { settled } = JSON.parse(new TextDecoder().decode(bytes)) as { settled: Lost[] }
    return new Map(settled.map(lost => [nameOf(lost), lost]))
  }

  /** What has been passed by a later epoch collides with nothing any more. */
  #encode(): Uint8Array {
    const { topology } = this.#parts
    const isOver = ({ range, epoch }: Lost) => (topology.claim(range)?.epoch ?? 0) > epoch
    for (const [name, lost] of this.#settled!) if (isOver(lost)) this.#settled!.delete(name)
    return new TextEncoder().encode(`${JSON.stringify({ settled: [...this.#settled!.values()] })}\n`)
  }
}

const nameOf = ({ range, epoch, owner }: Lost): string => `${range} ${epoch} ${owner}`
