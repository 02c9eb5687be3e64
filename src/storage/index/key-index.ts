/**
 * Where each key of a range lies, in memory: no object a key, no key bytes. A directory over the bits of a position that
 * follow those of the range leads to small pages (extendible hashing); a page that is full grows by an eighth, a large
 * one splits in two. So no insertion waits for more than one page, however many keys there are, and pages and what is in
 * them read in order of position, which is what paging wants.
 *
 * 20 bytes an entry, 26 to 29 a key of the process's memory, all slack and the allocator's included (design §9: ≤ 32). Positions are the first 64
 * bits of a SHA-256, and keys with a prefix of choice can be made: the directory therefore grows no faster than the number
 * of keys allows, and a page that may not split just grows. Entries of one position stand side by side, in one page;
 * whoever asks compares the keys in the records.
 */
import { type IndexEntry, IndexPage } from './index-page.ts'

export type { IndexEntry } from './index-page.ts'
export { MAX_FILE } from './index-page.ts'

/** Entries at which a page splits, more or less: some 400 KiB, which take 0.3 ms to move. */
const SPLIT_SIZE = 16_384
/**
 * Pages split at sizes from 0.75 to 1.25 of that, spread by the golden ratio. Positions are uniform, so all pages would
 * grow at the same time; like this, what some of them give back serves others, and the sum grows evenly.
 */
const SPREAD = 0.5
const GOLDEN = (Math.sqrt(5) - 1) / 2
/** Bits beyond those of the range: 2 ** 20 pages of 4,000 entries are more than any range holds. */
const MAX_DEPTH = 20
/** Directory places a full page: uniform positions need two or four; at 8 bytes each, never over half a byte a key. */
const MAX_PLACES_A_PAGE = 1024
/** A page that may not split asks again when it has grown so much. */
const ASK_AGAIN = 1.25

export interface Position {
  hi: number
  lo: number
}

export class KeyIndex {
  readonly #rangeBits: number
  readonly #splitSize: number
  /** 2 ** `#depth` places; a page whose positions share fewer bits stands in several, side by side. */
  #directory: IndexPage[]
  #depth = 0
  #size = 0
  #splits = 0
  /** Entries beyond the first of their position. */
  #collisions = 0
  /** Entries into each file; as long as the highest file needs. */
  readonly #files: number[] = []

  /** `q`: number of ranges, a power of two; all positions given must lie in one range. */
  constructor(q: number, splitSize = SPLIT_SIZE) {
    this.#rangeBits = Math.log2(q)
    this.#splitSize = splitSize
    this.#directory = [new IndexPage(this.#rangeBits, splitSize)]
  }

  get size(): number {
    return this.#size
  }

  /** Memory of all pages and the directory. */
  get bytes(): number {
    let bytes = this.#directory.length * 8
    for (let place = 0; place < this.#directory.length; place = this.#following(place)) {
      bytes += this.#directory[place]!.bytes
    }
    return bytes
  }

  /** True when some position holds more than one entry. */
  get collides(): boolean {
    return this.#collisions > 0
  }

  /** How many entries point into a file. */
  entriesIn(file: number): number {
    return this.#files[file] ?? 0
  }

  /**
   * Makes room for that many keys, so that inserting them, best in order, neither grows nor splits pages. For an empty
   * index; else nothing happens.
   */
  reserve(expected: number): void {
    if (this.#size > 0) return
    let depth = 0
    let each = expected
    // Pages differ by chance: room for three deviations more than the mean.
    const withChance = () => Math.ceil(depth === 0 ? each : each + 3 * Math.sqrt(each))
    for (; withChance() >= this.#splitSize && depth < this.#maxDepth(); depth++) each /= 2
    const room = withChance()
    this.#depth = depth
    this.#directory = []
    for (let place = 0; place < 2 ** depth; place++) {
      this.#directory.push(new IndexPage(this.#rangeBits + depth, this.#splitSize, room))
    }
  }

  /** Number of entries of this position: 0, 1 or more. The first is copied into `into`. */
  lookup(hi: number, lo: number, into: IndexEntry): number {
    const page = this.#page(hi, lo)
    const at = page.first(hi, lo)
    if (at < 0) return 0
    page.read(at, into)
    return this.#collisions === 0 ? 1 : page.countFrom(at)
  }

  /** All entries of this position; normally none or one. */
  find(hi: number, lo: number): IndexEntry[] {
    const entries: IndexEntry[] = []
    const page = this.#page(hi, lo)
    let at = page.first(hi, lo)
    for (let left = at < 0 ? 0 : page.countFrom(at); left > 0; left--, at = page.behind(at)) {
      const entry = { file: 0, offset: 0, length: 0, tag: 0 }
      page.read(at, entry)
      entries.push(entry)
    }
    return entries
  }

  /** The tag of the first entry of this position. */
  tagOf(hi: number, lo: number): number | undefined {
    const page = this.#page(hi, lo)
    const at = page.first(hi, lo)
    return at < 0 ? undefined : page.tag(at)
  }

  /** Adds an entry beside any other of the same position, behind them. */
  insert(hi: number, lo: number, entry: IndexEntry): void {
    let page = this.#page(hi, lo)
    while (page.size >= page.splitAt) {
      this.#split(page, hi, lo)
      page = this.#page(hi, lo)
    }
    if (page.insert(hi, lo, entry)) this.#collisions++
    this.#size++
    this.#countIn(entry.file, 1)
  }

  /** Points the entry of this position, file and offset at another record. False when there is none. */
  replace(hi: number, lo: number, file: number, offset: number, entry: IndexEntry): boolean {
    const page = this.#page(hi, lo)
    const at = page.exact(hi, lo, file, offset)
    if (at < 0) return false
    page.write(at, entry)
    if (entry.file !== file) {
      this.#countIn(file, -1)
      this.#countIn(entry.file, 1)
    }
    return true
  }

  /** Forgets the entry of this position, file and offset. False when there is none. */
  remove(hi: number, lo: number, file: number, offset: number): boolean {
    const page = this.#page(hi, lo)
    const at = page.exact(hi, lo, file, offset)
    if (at < 0) return false
    if (page.remove(at)) this.#collisions--
    this.#size--
    this.#countIn(file, -1)
    return true
  }

  /** Every entry, in order of position. `visit` must not change the index. */
  forEach(visit: (hi: number, lo: number, tag: number) => void): void {
    this.walk(undefined, Number.POSITIVE_INFINITY, (hi, lo, _file, _offset, _length, tag) => visit(hi, lo, tag))
  }

  /**
   * Visits at least `limit` entries (if there are) after a position, in order; all of one position come together.
   * `after` undefined: from the start. The position of the last one, or undefined when there are no more.
   * `visit` must not change the index.
   */
  walk(
    after: Position | undefined,
    limit: number,
    visit: (hi: number, lo: number, file: number, offset: number, length: number, tag: number) => void
  ): Position | undefined {
    const directory = this.#directory
    let visited = 0
    let last = { hi: -1, lo: -1 }
    const start = after ? this.#place(after.hi, after.lo) : 0
    for (let place = start; place < directory.length; place = this.#following(place)) {
      const page = directory[place]!
      let at = after && place === start ? page.after(after.hi, after.lo) : page.next(0)
      for (; at >= 0; at = page.next(page.behind(at))) {
        const hi = page.hi(at)
        const lo = page.lo(at)
        if (visited > 0 && visited >= limit && (hi !== last.hi || lo !== last.lo)) return last
        visit(hi, lo, page.file(at), page.offset(at), page.length(at), page.tag(at))
        visited++
        if (visited >= limit) last = { hi, lo }
      }
    }
    return undefined
  }

  /** What `walk` visits, as a list. */
  after(after: Position | undefined, limit: number): (IndexEntry & Position)[] {
    const found: (IndexEntry & Position)[] = []
    this.walk(after, limit, (hi, lo, file, offset, length, tag) => {
      found.push({ hi, lo, file, offset, length, tag })
    })
    return found
  }

  /** Shifts are by less than 32 at every depth, so 31 bits of range and directory together. */
  #maxDepth(): number {
    return Math.min(MAX_DEPTH, 31 - this.#rangeBits)
  }

  #place(hi: number, lo: number): number {
    const bits = this.#rangeBits
    const share = (hi << bits) | ((lo >>> 1) >>> (31 - bits))
    return (share >>> 1) >>> (31 - this.#depth)
  }

  #page(hi: number, lo: number): IndexPage {
    return this.#directory[this.#place(hi, lo)]!
  }

  /** The first place of the page after the one that stands in this place. */
  #following(place: number): number {
    const places = this.#placesOf(this.#directory[place]!)
    return place - (place % places) + places
  }

  #placesOf(page: IndexPage): number {
    return 2 ** (this.#depth + this.#rangeBits - page.shift)
  }

  /** Splits a page in two, or leaves it to grow where that parts nothing or takes too large a directory. */
  #split(page: IndexPage, hi: number, lo: number): void {
    const depth = page.shift - this.#rangeBits
    const parting = depth + page.commonBits() + 1
    const mayHave = (Math.max(this.#size, this.#splitSize) / this.#splitSize) * MAX_PLACES_A_PAGE
    if (parting > this.#maxDepth() || 2 ** parting > mayHave) {
      page.splitAt = Math.ceil(page.size * ASK_AGAIN) + 1
      return
    }
    if (depth === this.#depth) {
      this.#directory = this.#directory.flatMap(page => [page, page])
      this.#depth++
    }
    const places = this.#placesOf(page)
    const place = this.#place(hi, lo)
    const start = place - (place % places)
    const [low, high] = page.split(this.#nextSplitAt(), this.#nextSplitAt())
    this.#directory.fill(low, start, start + places / 2)
    this.#directory.fill(high, start + places / 2, start + places)
  }

  #nextSplitAt(): number {
    const spread = ((this.#splits++ * GOLDEN) % 1) - 0.5
    return Math.ceil(this.#splitSize * (1 + SPREAD * spread))
  }

  #countIn(file: number, change: number): void {
    while (this.#files.length <= file) this.#files.push(0)
    this.#files[file]! += change
  }
}

/** The range that a position lies in, of `q` equal ones. */
export function rangeOf({ hi }: Position, q: number): number {
  return q === 1 ? 0 : hi >>> (32 - Math.log2(q))
}
