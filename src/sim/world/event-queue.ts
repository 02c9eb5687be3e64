/** What is due when: a binary heap by time, then by order of scheduling. */

export interface Scheduled<Owner> {
  atMs: number
  order: number
  owner: Owner
  what: string
  fn: () => void
  cancelled: boolean
  /** In the queue: not taken out of it, though perhaps cancelled. */
  queued: boolean
}

export class EventQueue<Owner> {
  readonly #heap: Scheduled<Owner>[] = []
  #order = 0
  #cancelled = 0

  get size(): number {
    return this.#heap.length - this.#cancelled
  }

  push(atMs: number, owner: Owner, what: string, fn: () => void): Scheduled<Owner> {
    const event = { atMs, order: 0, owner, what, fn, cancelled: false, queued: false }
    this.put(event, atMs)
    return event
  }

  /** Back in, after those that are due at the same time: one that was taken out and not run. */
  put(event: Scheduled<Owner>, atMs: number): void {
    event.atMs = atMs
    event.order = this.#order++
    event.queued = true
    this.#heap.push(event)
    this.#rise(this.#heap.length - 1)
  }

  /** Cancelled events stay where they are until their time, or until they are most of the heap. */
  cancel(event: Scheduled<Owner>): void {
    if (event.cancelled) return
    event.cancelled = true
    event.fn = nothing
    if (!event.queued) return
    this.#cancelled++
    if (this.#cancelled > 1024 && this.#cancelled > this.#heap.length / 2) this.#sweep()
  }

  pop(): Scheduled<Owner> | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined) return undefined
      const last = this.#heap.pop()!
      if (this.#heap.length > 0) {
        this.#heap[0] = last
        this.#sink(0)
      }
      first.queued = false
      if (!first.cancelled) return first
      this.#cancelled--
    }
  }

  count(matches: (event: Scheduled<Owner>) => boolean): number {
    return this.#heap.filter(event => !event.cancelled && matches(event)).length
  }

  #sweep(): void {
    const kept = this.#heap.filter(event => !event.cancelled)
    this.#heap.length = 0
    this.#cancelled = 0
    for (const event of kept) {
      this.#heap.push(event)
      this.#rise(this.#heap.length - 1)
    }
  }

  #rise(from: number): void {
    const heap = this.#heap
    const event = heap[from]!
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #sink(from: number): void {
    const heap = this.#heap
    const event = heap[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(event, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = event
  }
}

const nothing = () => {}

function isBefore<Owner>(a: Scheduled<Owner>, b: Scheduled<Owner>): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
