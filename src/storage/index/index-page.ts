/**
 * One page of the index: the entries of a slice of positions, in order, in one typed array. An ordered hash table:
 * positions are uniform, so the slot where one is looked for (its home) is its share of the slice, and clusters are kept
 * sorted. So a page reads in order of position, and a search for what is absent stops early.
 *
 * A slot is five words side by side (one or two cache lines a look-up): hi, lo, offset in units of `RECORD_ALIGN`,
 * length with the file in its five high bits, tag. Offset 0 marks a free slot: no record lies at 0. The last slot
 * always stays free, so no search needs to look for the end. At most 93 % full, grown by 1.15: 21.5 to 25 bytes a key, to
 * which the allocator adds some 3. Places in the array are called `at` and count words, not slots.
 */
import { RECORD_ALIGN } from '../format/record.ts'

const WORDS = 5
const LO = 1
const OFFSET = 2
const LENGTH = 3
const TAG = 4
const FILE_SHIFT = 27
export const MAX_FILE = 31
const LENGTH_MASK = 2 ** FILE_SHIFT - 1

const MAX_LOAD = 0.93
const GROWTH = 1.15
/** Shrinks below this, far enough from what growing leaves that no page goes to and fro. */
const MIN_LOAD = 0.4
const MIN_HOMES = 4
/** Slots after the last home, for clusters that run over the end; more when they do not suffice. */
const MIN_OVERFLOW = 4
const MAX_FIRST_OVERFLOW = 64
/** Slots to try one by one before leaping: only clusters made on purpose are longer. */
const STEPS = 24
/** Words up to which a loop moves them faster than a call does. */
const SHORT_MOVE = 16 * WORDS
/** Words from the end of the entries within which looking there first costs nothing. */
const NEAR = 64 * WORDS
/** What V8 keeps for a page besides its words: three objects and the bookkeeping of the buffer. */
const PAGE_OVERHEAD_BYTES = 400

export interface IndexEntry {
  /** Which file of the log: 0 to `MAX_FILE`. */
  file: number
  /** Of the record, in bytes from the start of the file. */
  offset: number
  /** Bytes of header, key and value. */
  length: number
  /** The caller's, 32 bits. */
  tag: number
}

export class IndexPage {
  /** The high bits of a position that all of this page share. */
  readonly shift: number
  /** Size from which the index splits this page. */
  splitAt: number
  #words: Uint32Array<ArrayBuffer>
  #size = 0
  #homes: number
  /** No entry stands behind this place. */
  #last = -WORDS
  /** Entries that fit before the page has to grow. */
  #capacity: number
  /** Entries to make room for when it first grows. */
  #expected: number
  /** Words a unit of the position's next 32 bits. */
  #scale: number

  /** `shift`: 0 to 31. `expected`: entries that will come; room for them is made with the first few. */
  constructor(shift: number, splitAt: number, expected = 0) {
    this.shift = shift
    this.splitAt = splitAt
    this.#expected = expected
    this.#homes = MIN_HOMES
    this.#capacity = Math.floor(this.#homes * MAX_LOAD)
    this.#scale = this.#homes / 2 ** 32
    this.#words = newWords(this.#homes, firstOverflow(this.#homes))
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#words.byteLength + PAGE_OVERHEAD_BYTES
  }

  /** Where the first entry of this position is, or -1. */
  first(hi: number, lo: number): number {
    const at = this.#seek(this.#home(hi, lo), hi, lo)
    return this.#holds(at, hi, lo) ? at : -1
  }

  /** Where the entry of this position, file and offset is, or -1. */
  exact(hi: number, lo: number, file: number, offset: number): number {
    const words = this.#words
    const unit = offset / RECORD_ALIGN
    for (let at = this.first(hi, lo); at >= 0 && this.#holds(at, hi, lo); at += WORDS) {
      if (words[at + OFFSET] === unit && words[at + LENGTH]! >>> FILE_SHIFT === file) return at
    }
    return -1
  }

  /** Entries of the position of the entry at `at`, which is the first of them. */
  countFrom(at: number): number {
    const words = this.#words
    const hi = words[at]!
    const lo = words[at + LO]!
    let next = at + WORDS
    while (this.#holds(next, hi, lo)) next += WORDS
    return (next - at) / WORDS
  }

  /** Where the next entry is, from `at` on; or -1. */
  next(at: number): number {
    const words = this.#words
    while (at < words.length && words[at + OFFSET] === 0) at += WORDS
    return at < words.length ? at : -1
  }

  /** Where the first entry after this position is, or -1. */
  after(hi: number, lo: number): number {
    return this.next(this.#seek(this.#home(hi, lo), hi, lo + 1))
  }

  /** Where the entry behind the one at `at` would be. */
  behind(at: number): number {
    return at + WORDS
  }

  hi(at: number): number {
    return this.#words[at]!
  }

  lo(at: number): number {
    return this.#words[at + LO]!
  }

  tag(at: number): number {
    return this.#words[at + TAG]!
  }

  file(at: number): number {
    return this.#words[at + LENGTH]! >>> FILE_SHIFT
  }

  offset(at: number): number {
    return this.#words[at + OFFSET]! * RECORD_ALIGN
  }

  length(at: number): number {
    return this.#words[at + LENGTH]! & LENGTH_MASK
  }

  read(at: number, into: IndexEntry): void {
    const words = this.#words
    const length = words[at + LENGTH]!
    into.file = length >>> FILE_SHIFT
    into.offset = words[at + OFFSET]! * RECORD_ALIGN
    into.length = length & LENGTH_MASK
    into.tag = words[at + TAG]!
  }

  write(at: number, entry: IndexEntry): void {
    const words = this.#words
    words[at + OFFSET] = entry.offset / RECORD_ALIGN
    words[at + LENGTH] = (entry.file << FILE_SHIFT) | entry.length
    words[at + TAG] = entry.tag
  }

  /** Adds an entry behind all others of its position. True when there are others. */
  insert(hi: number, lo: number, entry: IndexEntry): boolean {
    if (this.#size >= this.#capacity) {
      this.#resize(Math.max(Math.ceil(this.#homes * GROWTH) + 2, homesFor(this.#expected)), this.#overflow())
      this.#expected = 0
    }
    const at = this.#seekNew(hi, lo)
    const words = this.#words
    let free = at
    while (words[free + OFFSET] !== 0) free += WORDS
    if (free + WORDS === words.length) {
      this.#resize(this.#homes, Math.ceil(this.#overflow() * 1.25))
      return this.insert(hi, lo, entry)
    }
    if (free - at > SHORT_MOVE) words.copyWithin(at + WORDS, at, free)
    else for (let word = free - 1; word >= at; word--) words[word + WORDS] = words[word]!
    words[at] = hi
    words[at + LO] = lo
    this.write(at, entry)
    if (free > this.#last) this.#last = free
    this.#size++
    return at > 0 && this.#holds(at - WORDS, hi, lo)
  }

  /** Forgets the entry at `at`. True when others of its position remain. */
  remove(at: number): boolean {
    const words = this.#words
    const hi = words[at]!
    const lo = words[at + LO]!
    let end = at + WORDS
    while (words[end + OFFSET] !== 0 && this.#home(words[end]!, words[end + LO]!) < end) end += WORDS
    words.copyWithin(at, at + WORDS, end)
    words[end - WORDS + OFFSET] = 0
    this.#size--
    const others = this.#holds(at, hi, lo) || (at > 0 && this.#holds(at - WORDS, hi, lo))
    if (this.#size < this.#homes * MIN_LOAD) {
      const homes = homesFor(this.#size * GROWTH)
      if (homes < this.#homes) this.#resize(homes, 0)
    }
    return others
  }

  /** High bits that all positions have in common beyond `shift`: that many splits would part nothing. At most 32. */
  commonBits(): number {
    const words = this.#words
    const first = this.next(0)
    if (first < 0) return 32
    let last = this.#last
    while (words[last + OFFSET] === 0) last -= WORDS
    return Math.clz32(this.#share(words[first]!, words[first + LO]!) ^ this.#share(words[last]!, words[last + LO]!))
  }

  /** Two pages, each with the half of the slice. This page may not be used any more. */
  split(lowSplitAt: number, highSplitAt: number): [IndexPage, IndexPage] {
    const words = this.#words
    let low = 0
    let middle = 0
    for (; middle < words.length; middle += WORDS) {
      if (words[middle + OFFSET] === 0) continue
      if (this.#share(words[middle]!, words[middle + LO]!) >= 2 ** 31) break
      low++
    }
    const half = (splitAt: number, size: number, from: number, to: number) => {
      const page = new IndexPage(this.shift + 1, splitAt)
      page.#homes = homesFor(size * GROWTH)
      page.#fill(words, from, to, firstOverflow(page.#homes))
      page.#size = size
      return page
    }
    const pages: [IndexPage, IndexPage] = [
      half(lowSplitAt, low, 0, middle),
      half(highSplitAt, this.#size - low, middle, words.length)
    ]
    release(words)
    return pages
  }

  /** The 32 bits of a position that follow those which all of this page share. */
  #share(hi: number, lo: number): number {
    const { shift } = this
    return ((hi << shift) | ((lo >>> 1) >>> (31 - shift))) >>> 0
  }

  #home(hi: number, lo: number): number {
    return ((this.#share(hi, lo) * this.#scale) >>> 0) * WORDS
  }

  #holds(at: number, hi: number, lo: number): boolean {
    const words = this.#words
    return words[at + OFFSET] !== 0 && words[at] === hi && words[at + LO] === lo
  }

  /**
   * The first place from a home on that is free or holds this position or a later one. Behind a free place all
   * positions are later ones (else they would stand in it), so leaps and halving find it too: long clusters cost little.
   */
  #seek(home: number, hi: number, lo: number): number {
    let at = home
    for (let step = 0; step < STEPS; step++, at += WORDS) if (this.#reaches(at, hi, lo)) return at
    const words = this.#words
    let leap = STEPS
    let high = at
    while (high < words.length && !this.#reaches(high, hi, lo)) {
      at = high + WORDS
      high += leap * WORDS
      leap *= 2
    }
    high = Math.min(high, words.length - WORDS)
    while (at < high) {
      const middle = at + Math.floor((high - at) / WORDS / 2) * WORDS
      if (this.#reaches(middle, hi, lo)) high = middle
      else at = middle + WORDS
    }
    return at
  }

  /** Where a new entry belongs: behind all of its position. What comes in order goes to the end without a search. */
  #seekNew(hi: number, lo: number): number {
    const home = this.#home(hi, lo)
    const last = this.#last
    if (home > last) return home
    if (last - home < NEAR && !this.#reaches(last, hi, lo + 1)) return last + WORDS
    return this.#seek(home, hi, lo + 1)
  }

  #reaches(at: number, hi: number, lo: number): boolean {
    const words = this.#words
    if (words[at + OFFSET] === 0) return true
    const other = words[at]!
    return other === hi ? words[at + LO]! >= lo : other > hi
  }

  #overflow(): number {
    return this.#words.length / WORDS - this.#homes
  }

  #resize(homes: number, overflow: number): void {
    const old = this.#words
    this.#homes = homes
    this.#fill(old, 0, old.length, Math.max(overflow, firstOverflow(homes)))
    release(old)
  }

  /** One sweep: what comes is sorted, so each entry goes to its home or right behind the one before. */
  #fill(from: Uint32Array, start: number, end: number, overflow: number): void {
    this.#capacity = Math.floor(this.#homes * MAX_LOAD)
    this.#scale = this.#homes / 2 ** 32
    const words = newWords(this.#homes, overflow)
    const last = words.length - WORDS
    let at = 0
    for (let old = start; old < end; old += WORDS) {
      const unit = from[old + OFFSET]!
      if (unit === 0) continue
      const hi = from[old]!
      const lo = from[old + LO]!
      const home = this.#home(hi, lo)
      if (home > at) at = home
      if (at >= last) {
        this.#fill(from, start, end, Math.ceil(overflow * 1.25))
        return
      }
      words[at] = hi
      words[at + LO] = lo
      words[at + OFFSET] = unit
      words[at + LENGTH] = from[old + LENGTH]!
      words[at + TAG] = from[old + TAG]!
      at += WORDS
    }
    this.#words = words
    this.#last = at - WORDS
  }
}

function homesFor(size: number): number {
  return Math.max(MIN_HOMES, Math.ceil(size / MAX_LOAD) + 1)
}

function firstOverflow(homes: number): number {
  return Math.max(MIN_OVERFLOW, Math.min(MAX_FIRST_OVERFLOW, homes >>> 3))
}

function newWords(homes: number, overflow: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array((homes + overflow) * WORDS)
}

/** Gives the memory back now: until the collector comes, what growing leaves behind could be as much as the index. */
function release(words: Uint32Array<ArrayBuffer>): void {
  words.buffer.transfer(0)
}
