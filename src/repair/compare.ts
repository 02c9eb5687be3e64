/**
 * The compare session of `/coterie/sync/1`: two nodes bring their copies of some ranges to the same key states. It serves
 * anti-entropy (both have nearly everything), a new copy (one side is empty) and the proof before a drop (`pushOnly`,
 * `durable`); only ranges, buckets and keys that differ travel (design §10).
 *
 *   initiator                         answerer
 *   open: totals of the ranges   →
 *                                ←    status of each, bucket sums where totals differ
 *   entries of differing buckets →
 *                                ←    states it has newer, positions that it wants, range clocks
 *   the wanted states, dead dots, range clocks, finish  →
 *                                ←    dead dots, done: everything sent is stored
 */
import { CoterieError } from '../errors.ts'
import type { CopyStatus } from '../messages.ts'
import type { Duplex, Network, Timers } from '../ports.ts'
import type { CopyFiles } from '../replica/copy-files.ts'
import type { Replicas } from '../replica/replicas.ts'
import { SessionClocks, type Verdict } from './compare-clocks.ts'
import { diffEntries, entriesOf, packPositions, StateSink, statesAt, unpackPositions } from './compare-parts.ts'
import { sendFiles } from './file-sender.ts'
import { Outbox } from './outbox.ts'
import type { SyncMessage } from './sync-codec.ts'
import { converse, Watch, withStream } from './sync-stream.ts'

/** Positions in one `want` message: 64 KiB. */
const WANT_POSITIONS = 8192

export interface CompareParts {
  replicas: Replicas
  timers: Timers
}

export interface CompareResult {
  /** The other side's status of each range that was compared to the end; `none` where it could not take all that it was sent. */
  statuses: Map<number, CopyStatus>
  /** Ranges that were not compared to the end, because this side could not take all that it was sent: too large together. */
  refused: ReadonlySet<number>
  /** Of each of them, where asked for (`settleCopy`). */
  verdicts: Map<number, Verdict>
  received: number
  sent: number
}

export interface CompareOptions {
  pushOnly?: boolean
  durable?: boolean
  /** Gives the verdicts, for a copy that catches up; the caller closes their arrivals. */
  verdicts?: boolean
  signal?: AbortSignal
  /**
   * Called as states arrive: how many so far, how many keys the other side holds in ranges that differ, and the bytes of
   * the keys and states that came.
   */
  onProgress?: (keysDone: number, keysTotal: number, bytesDone: number) => void
}

/** Runs a session with `peer`. Throws what the stream throws; whatever was merged by then stays. */
export async function compareRanges(
  parts: CompareParts & { network: Network },
  peer: string,
  ranges: number[],
  options: CompareOptions = {}
): Promise<CompareResult> {
  return withStream(parts.network, peer, options.signal, stream => new Initiator(parts, stream, ranges, options).run())
}

class Initiator {
  readonly #parts: CompareParts
  readonly #stream: Duplex
  readonly #ranges: number[]
  readonly #options: CompareOptions
  readonly #outbox = new Outbox<SyncMessage>()
  readonly #sink: StateSink
  readonly #clocks: SessionClocks
  readonly #result: CompareResult
  #keysTotal = 0
  #done = false

  constructor(parts: CompareParts, stream: Duplex, ranges: number[], options: CompareOptions) {
    this.#parts = parts
    this.#stream = stream
    this.#ranges = ranges
    this.#options = options
    this.#clocks = new SessionClocks(parts.replicas)
    this.#sink = new StateSink(parts.replicas, range => this.#clocks.arrivals(range))
    this.#result = { statuses: new Map(), refused: this.#sink.refused, verdicts: new Map(), received: 0, sent: 0 }
  }

  async run(): Promise<CompareResult> {
    try {
      return await this.#run()
    } finally {
      this.#clocks.close()
    }
  }

  async #run(): Promise<CompareResult> {
    const { pushOnly = false, durable = false, signal } = this.#options
    const totals = this.#ranges.map(range => {
      this.#clocks.begin(range)
      return { range, ...this.#parts.replicas.sums(range).total() }
    })
    this.#outbox.add([{ type: 'open', ranges: totals, pushOnly, durable }])
    const watch = new Watch(this.#parts.timers, this.#stream, signal)
    await converse(this.#stream, this.#outbox, watch, message => this.#take(message))
    if (!this.#done) throw new CoterieError('unreachable', 'the sync stream ended before its session did')
    this.#result.received = this.#sink.merged
    for (const range of this.#sink.refused) this.#result.statuses.delete(range)
    if (this.#options.verdicts) {
      for (const [range, status] of this.#result.statuses) {
        const verdict = this.#clocks.verdict(range, status)
        if (verdict !== undefined) this.#result.verdicts.set(range, verdict)
      }
    }
    return this.#result
  }

  async #take(message: SyncMessage): Promise<void> {
    const { replicas } = this.#parts
    switch (message.type) {
      case 'status': {
        this.#result.statuses.set(message.range, message.status)
        if (message.buckets === undefined) return
        this.#keysTotal += message.keys
        this.#outbox.add(entriesOf(replicas, message.range, replicas.sums(message.range).differing(message.buckets)))
        return
      }
      case 'endOfStatus':
        this.#outbox.add([{ type: 'endOfEntries' }])
        return
      case 'states':
        await this.#sink.take(message)
        this.#options.onProgress?.(this.#sink.merged, this.#keysTotal, this.#sink.mergedBytes)
        return
      case 'want': {
        const positions = unpackPositions(message.positions)
        this.#result.sent += positions.length
        this.#outbox.add(statesAt(replicas, message.range, positions))
        return
      }
      case 'clock':
        this.#clocks.take(message)
        return
      case 'endOfStates':
        this.#outbox.add(this.#sink.deadMessages())
        this.#outbox.add(this.#clocks.messages())
        this.#outbox.add([{ type: 'finish' }])
        return
      case 'dead':
        this.#clocks.takeDead(message)
        return
      case 'done':
        this.#done = true
        await this.#clocks.finish(this.#sink.revived, this.#sink.refused)
        this.#outbox.end()
        return
      default:
        throw new CoterieError('protocol', `"${message.type}" is not for the initiator of a session`)
    }
  }
}

export interface AnswerParts extends CompareParts {
  copyFiles: CopyFiles
  /** Makes the copies that this node should hold and does not yet. */
  prepare: (ranges: number[]) => Promise<void>
  /** False: what this copy has is no reason for another to be given up, now. */
  mayProve: (range: number) => boolean
}

/** The other side of a session, of this kind or of the one for files (`file-sender.ts`): the first message tells. */
export async function answerSync(parts: AnswerParts, stream: Duplex): Promise<void> {
  const { replicas, timers } = parts
  const outbox = new Outbox<SyncMessage>()
  const clocks = new SessionClocks(replicas)
  const sink = new StateSink(replicas, range => clocks.arrivals(range))
  let open: Extract<SyncMessage, { type: 'open' }> | undefined
  /** Whatever becomes of their files now: that this side holds them has been said. */
  let proving: number[] = []
  const take = async (message: SyncMessage): Promise<void> => {
    if (message.type === 'open' && open === undefined) {
      open = message
      await parts.prepare(message.ranges.map(({ range }) => range))
      proving = message.ranges.map(({ range }) => range).filter(range => lasts(replicas, range))
      outbox.add(statusesOf(parts, clocks, message))
      return
    }
    if (message.type === 'fetch' && open === undefined) {
      outbox.add(sendFiles(parts.copyFiles, message))
      outbox.end()
      return
    }
    if (open === undefined) throw new CoterieError('protocol', 'a session begins with "open" or "fetch"')
    switch (message.type) {
      case 'entries': {
        const { send, want } = diffEntries(replicas, message.range, message.buckets, message.entries)
        if (!open.pushOnly) outbox.add(statesAt(replicas, message.range, send))
        // A frozen copy takes nothing; to refuse what we asked for would end the session for all ranges.
        if (replicas.status(message.range) !== 'frozen') outbox.add(wantsOf(message.range, want))
        return
      }
      case 'endOfEntries':
        if (!open.pushOnly) outbox.add(clocks.messages())
        outbox.add([{ type: 'endOfStates' }])
        return
      case 'states':
        return sink.take(message)
      case 'clock':
        clocks.take(message)
        return
      case 'dead':
        clocks.takeDead(message)
        return
      case 'finish':
        await clocks.finish(sink.revived, sink.refused)
        if (open.durable) await replicas.sync(proving)
        outbox.add(sink.deadMessages())
        outbox.add(sink.refusals())
        outbox.add([{ type: 'done' }])
        outbox.end()
        return
      default:
        throw new CoterieError('protocol', `"${message.type}" is not for the answerer of a session`)
    }
  }
  try {
    await converse(stream, outbox, new Watch(timers, stream), take)
  } finally {
    clocks.close()
  }
}

/** A copy whose file failed, or is being moved to a new one for that, proves nothing; the others need not suffer for it. */
const lasts = (replicas: Replicas, range: number): boolean =>
  replicas.status(range) === 'none' || !(replicas.isFenced(range) || replicas.isRenewing(range))

function* statusesOf(
  { replicas, mayProve }: AnswerParts,
  clocks: SessionClocks,
  { ranges, durable }: Extract<SyncMessage, { type: 'open' }>
): Iterable<SyncMessage> {
  for (const { range, hi, lo } of ranges) {
    const status = replicas.status(range)
    if (status === 'none' || (durable && !(lasts(replicas, range) && mayProve(range)))) {
      yield { type: 'status', range, status: 'none', keys: 0 }
      continue
    }
    clocks.begin(range)
    const sums = replicas.sums(range)
    const ours = sums.total()
    const equal = ours.hi === hi && ours.lo === lo
    yield { type: 'status', range, status, keys: sums.keys, buckets: equal ? undefined : sums.encode() }
  }
  yield { type: 'endOfStatus' }
}

function* wantsOf(range: number, positions: { hi: number; lo: number }[]): Iterable<SyncMessage> {
  for (let at = 0; at < positions.length; at += WANT_POSITIONS) {
    yield { type: 'want', range, positions: packPositions(positions.slice(at, at + WANT_POSITIONS)) }
  }
}
