/**
 * Where each key of a range lies, in typed arrays: no object a key, no key bytes. An ordered hash table: positions are
 * already uniform, so the slot where a key is looked for is its share of the range's slice, and clusters are kept
 * sorted. So the table reads in order of position, which is what paging wants, and a search for an absent key stops
 * early.
 *
 * 20 bytes a slot; grown by 1.25 at 85 % load, so 23.5 to 30 bytes a key (design §9: ≤ 32) in all but tiny tables. Two
 * keys may share all 64 bits (collisions of a SHA-256 prefix can be made): their entries stand side by side, and
 * whoever asks compares the keys in the records.
 */
import { RECORD_ALIGN } from '../format/record.ts'

const MAX_LOAD = 0.85
const GROWTH = 1.25
const MIN_HOMES = 16
/** Slots after the last home, for clusters that run over the end; doubled when they do not suffice. */
const MIN_OVERFLOW = 16
const MAX_FIRST_OVERFLOW = 64
const COLUMNS = ['hi', 'lo', 'offset', 'length', 'tag'] as const

type Columns = Record<(typeof COLUMNS)[number], Uint32Array>

export interface IndexEntry {
  /** Of the record, in bytes from the start of the file. */
  offset: number
  /** Bytes of header, key and value. */
  length: number
  tag: number
}

export class KeyIndex {
  #columns: Columns
  #homes = MIN_HOMES
  #size = 0
  readonly #rangeBits: number

  /** `q`: number of ranges, a power of two; all positions given must lie in one range. */
  constructor(q: number) {
    this.#rangeBits = Math.log2(q)
    this.#columns = newColumns(MIN_HOMES + MIN_OVERFLOW)
  }

  get size(): number {
    return this.#size
  }

  /** Memory of the table. */
  get bytes(): number {
    return this.#columns.hi.byteLength * COLUMNS.length
  }

  /** All entries with this position; normally none or one. */
  find(hi: number, lo: number): IndexEntry[] {
    const entries: IndexEntry[] = []
    for (let slot = this.#first(hi, lo); slot >= 0 && this.#compare(slot, hi, lo) === 0; slot++) {
      if (this.#columns.offset[slot] === 0) break
      entries.push(this.#entry(slot))
    }
    return entries
  }

  /** The tag of the first entry with this position. */
  tagOf(hi: number, lo: number): number | undefined {
    const slot = this.#first(hi, lo)
    return slot < 0 ? undefined : this.#columns.tag[slot]
  }

  /** Adds an entry beside any other of the same position. */
  insert(hi: number, lo: number, entry: IndexEntry): void {
    if (this.#size + 1 > this.#homes * MAX_LOAD) this.#rebuild(Math.ceil(this.#homes * GROWTH), this.#overflow())
    const { offset } = this.#columns
    let slot = this.#home(hi, lo)
    while (offset[slot] && this.#compare(slot, hi, lo) <= 0) slot++
    let free = slot
    while (offset[free]) free++
    if (free >= offset.length) {
      this.#rebuild(this.#homes, this.#overflow() * 2)
      this.insert(hi, lo, entry)
      return
    }
    for (const name of COLUMNS) this.#columns[name].copyWithin(slot + 1, slot, free)
    this.#columns.hi[slot] = hi
    this.#columns.lo[slot] = lo
    this.#set(slot, entry)
    this.#size++
  }

  /** Points the entry of this position and offset at another record. False when there is none. */
  replace(hi: number, lo: number, offset: number, entry: IndexEntry): boolean {
    const slot = this.#slotOf(hi, lo, offset)
    if (slot < 0) return false
    this.#set(slot, entry)
    return true
  }

  /** Forgets the entry of this position and offset. False when there is none. */
  remove(hi: number, lo: number, offset: number): boolean {
    let hole = this.#slotOf(hi, lo, offset)
    if (hole < 0) return false
    const columns = this.#columns
    let next = hole + 1
    while (columns.offset[next] && this.#home(columns.hi[next]!, columns.lo[next]!) < next) next++
    for (const name of COLUMNS) columns[name].copyWithin(hole, hole + 1, next)
    hole = next - 1
    columns.offset[hole] = 0
    this.#size--
    return true
  }

  /** Every entry, in order of position. `visit` must not change the index. */
  forEach(visit: (hi: number, lo: number, tag: number) => void): void {
    const { hi, lo, offset, tag } = this.#columns
    for (let slot = 0; slot < offset.length; slot++) if (offset[slot]) visit(hi[slot]!, lo[slot]!, tag[slot]!)
  }

  /**
   * At least `limit` entries (if there are) after a position, in order; all of one position come together.
   * `after` undefined: from the start.
   */
  after(after: { hi: number; lo: number } | undefined, limit: number): (IndexEntry & { hi: number; lo: number })[] {
    const { hi, lo, offset } = this.#columns
    const found: (IndexEntry & { hi: number; lo: number })[] = []
    for (let slot = after ? this.#home(after.hi, after.lo) : 0; slot < offset.length; slot++) {
      if (!offset[slot] || (after && this.#compare(slot, after.hi, after.lo) <= 0)) continue
      const last = found.at(-1)
      if (found.length >= limit && last && (last.hi !== hi[slot] || last.lo !== lo[slot])) break
      found.push({ hi: hi[slot]!, lo: lo[slot]!, ...this.#entry(slot) })
    }
    return found
  }

  #home(hi: number, lo: number): number {
    const bits = this.#rangeBits
    const within = bits === 0 ? hi : ((hi << bits) | (lo >>> (32 - bits))) >>> 0
    return Math.floor((within / 2 ** 32) * this.#homes)
  }

  #overflow(): number {
    return this.#columns.hi.length - this.#homes
  }

  #compare(slot: number, hi: number, lo: number): number {
    return this.#columns.hi[slot]! - hi || this.#columns.lo[slot]! - lo
  }

  #first(hi: number, lo: number): number {
    const { offset } = this.#columns
    let slot = this.#home(hi, lo)
    while (offset[slot] && this.#compare(slot, hi, lo) < 0) slot++
    return offset[slot] && this.#compare(slot, hi, lo) === 0 ? slot : -1
  }

  #slotOf(hi: number, lo: number, offset: number): number {
    const columns = this.#columns
    const unit = offset / RECORD_ALIGN
    for (let slot = this.#first(hi, lo); slot >= 0 && columns.offset[slot]; slot++) {
      if (this.#compare(slot, hi, lo) !== 0) return -1
      if (columns.offset[slot] === unit) return slot
    }
    return -1
  }

  #entry(slot: number): IndexEntry {
    const { offset, length, tag } = this.#columns
    return { offset: offset[slot]! * RECORD_ALIGN, length: length[slot]!, tag: tag[slot]! }
  }

  #set(slot: number, entry: IndexEntry): void {
    this.#columns.offset[slot] = entry.offset / RECORD_ALIGN
    this.#columns.length[slot] = entry.length
    this.#columns.tag[slot] = entry.tag
  }

  /** One sweep: entries are sorted, so each goes to its home or right after the one before. */
  #rebuild(homes: number, overflow: number): void {
    const old = this.#columns
    this.#homes = homes
    const fresh = newColumns(homes + Math.max(overflow, Math.min(MAX_FIRST_OVERFLOW, homes)))
    let next = 0
    for (let slot = 0; slot < old.offset.length; slot++) {
      if (!old.offset[slot]) continue
      next = Math.max(next, this.#home(old.hi[slot]!, old.lo[slot]!))
      if (next >= fresh.offset.length) {
        this.#rebuild(homes, overflow * 2)
        return
      }
      for (const name of COLUMNS) fresh[name][next] = old[name][slot]!
      next++
    }
    this.#columns = fresh
  }
}

function newColumns(slots: number): Columns {
  const column = () => new Uint32Array(slots)
  return { hi: column(), lo: column(), offset: column(), length: column(), tag: column() }
}
