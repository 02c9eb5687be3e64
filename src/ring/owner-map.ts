/**
 * The owner map: one register per range that only grows (design §6). A higher epoch wins; equal epochs go to the lower
 * peer id. Merging claims in any order, any number of times, gives the same map on every node. Grants are not verified
 * here: whoever brings claims in from outside has checked them.
 *
 * On disk (`encode`), integers as protobuf varints, texts and byte strings with their length before them:
 *
 *     "COTRING1" | q | peers | peer ids … | q × (owner + 1 | epoch | granter + 1 | signature) | CRC-32 of all before 4
 *
 * `owner` and `granter` count the peer ids from 0; 0 alone says that the range has no claim, or the claim no grant.
 */
import { crc32 } from 'node:zlib'
import protobuf from 'protobufjs/minimal.js'
import type { Claim, Grant } from '../claim.ts'
import { MAX_RANGES } from '../config.ts'
import { CoterieError } from '../errors.ts'

const MAGIC = 'COTRING1'
const CRC_BYTES = 4

export class OwnerMap {
  readonly q: number
  readonly #claims: (Claim | undefined)[]
  readonly #counts = new Map<string, number>()
  #known = 0
  #revision = 0
  #dropped = 0

  constructor(q: number) {
    this.q = q
    this.#claims = new Array(q).fill(undefined)
  }

  /** Grows with every merge that changed something: a view built at another revision is stale. */
  get revision(): number {
    return this.#revision
  }

  /** Claims dropped so far because they name no range of this ring, no owner or no epoch from 1. */
  get dropped(): number {
    return this.#dropped
  }

  /** Takes in what is newer; returns the claims that changed something, to be saved and told on. */
  merge(claims: Iterable<Claim>): Claim[] {
    const changed: Claim[] = []
    for (const claim of claims) {
      if (!isClaim(claim, this.q)) this.#dropped++
      else if (this.#take(claim)) changed.push(claim)
    }
    if (changed.length > 0) this.#revision++
    return changed
  }

  claim(range: number): Claim | undefined {
    return this.#claims[range]
  }

  owner(range: number): string | undefined {
    return this.#claims[range]?.owner
  }

  /** All claims, by range. */
  claims(): Claim[] {
    return this.#claims.filter(claim => claim !== undefined)
  }

  /** The owner of every range, for `RingView` and the planner. */
  ownerList(): (string | undefined)[] {
    return this.#claims.map(claim => claim?.owner)
  }

  /** Distinct owners, sorted. */
  owners(): string[] {
    return [...this.#counts.keys()].sort()
  }

  /** Ranges that the peer owns. */
  countOf(peer: string): number {
    return this.#counts.get(peer) ?? 0
  }

  /** True when every range has an owner. */
  isComplete(): boolean {
    return this.#known === this.q
  }

  encode(): Uint8Array {
    const numbers = new Map<string, number>()
    for (const { owner, grant } of this.claims()) {
      for (const peer of grant ? [owner, grant.by] : [owner]) if (!numbers.has(peer)) numbers.set(peer, numbers.size)
    }
    const writer = new protobuf.Writer().uint32(this.q).uint32(numbers.size)
    for (const peer of numbers.keys()) writer.string(peer)
    for (const claim of this.#claims) {
      if (!claim) {
        writer.uint32(0)
        continue
      }
      writer.uint32(numbers.get(claim.owner)! + 1).uint64(claim.epoch)
      if (claim.grant) writer.uint32(numbers.get(claim.grant.by)! + 1).bytes(claim.grant.signature)
      else writer.uint32(0)
    }
    const content = Buffer.concat([Buffer.from(MAGIC), writer.finish(), Buffer.alloc(CRC_BYTES)])
    const end = content.length - CRC_BYTES
    content.writeUInt32BE(crc32(content.subarray(0, end)), end)
    return new Uint8Array(content.buffer, content.byteOffset, content.length)
  }

  /** Throws `damaged` for anything that `encode` did not write. */
  static decode(bytes: Uint8Array): OwnerMap {
    const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const end = content.length - CRC_BYTES
    if (end < MAGIC.length || content.toString('latin1', 0, MAGIC.length) !== MAGIC) throw damaged('is no owner map')
    if (content.readUInt32BE(end) !== crc32(content.subarray(0, end))) throw damaged('does not match its checksum')
    try {
      return readMap(new protobuf.Reader(new Uint8Array(bytes.buffer, bytes.byteOffset, end)))
    } catch (error) {
      throw damaged('cannot be read', error)
    }
  }

  #take(claim: Claim): boolean {
    const held = this.#claims[claim.range]
    if (held && !isNewer(claim, held)) return false
    this.#claims[claim.range] = claim
    if (held) this.#count(held.owner, -1)
    else this.#known++
    this.#count(claim.owner, 1)
    return true
  }

  #count(owner: string, change: number): void {
    const count = this.countOf(owner) + change
    if (count === 0) this.#counts.delete(owner)
    else this.#counts.set(owner, count)
  }
}

function isClaim({ range, epoch, owner }: Claim, q: number): boolean {
  return Number.isInteger(range) && range >= 0 && range < q && Number.isSafeInteger(epoch) && epoch >= 1 && owner !== ''
}

function isNewer(claim: Claim, held: Claim): boolean {
  if (claim.epoch !== held.epoch) return claim.epoch > held.epoch
  if (claim.owner !== held.owner) return claim.owner < held.owner
  return claim.grant !== undefined && held.grant === undefined
}

function readMap(reader: protobuf.Reader): OwnerMap {
  reader.pos = MAGIC.length
  const q = reader.uint32()
  if (q > MAX_RANGES) throw new RangeError(`${q} ranges`)
  const count = reader.uint32()
  // Not new Array(count): a count without the bytes to go with it allocates nothing.
  const peers: string[] = []
  while (peers.length < count) peers.push(reader.string())
  const map = new OwnerMap(q)
  for (let range = 0; range < q; range++) {
    const owner = reader.uint32()
    if (owner === 0) continue
    const epoch = Number(reader.uint64())
    const granter = reader.uint32()
    const grant: Grant | undefined =
      granter === 0 ? undefined : { by: peerAt(peers, granter), signature: new Uint8Array(reader.bytes()) }
    map.merge([{ range, epoch, owner: peerAt(peers, owner), ...(grant && { grant }) }])
  }
  if (reader.pos !== reader.len) throw new RangeError('bytes are left over')
  return map
}

function peerAt(peers: readonly string[], number: number): string {
  const peer = peers[number - 1]
  if (peer === undefined) throw new RangeError(`peer ${number} of ${peers.length}`)
  return peer
}

function damaged(what: string, cause?: unknown): CoterieError {
  const advice = 'restore it, or move it away and start: the node learns the ring from the others'
  return new CoterieError('damaged', `the file of the owner map ${what}; ${advice}`, { cause })
}
