/**
 * How a client gets one request answered: it asks the best node, the next when that one fails or is late, and all of them
 * again after a pause. A write keeps its id, so asking twice mints nothing twice (failures 10). What is late, or refused
 * by all because they have too much to do, is tried again within a budget only: else tries would keep an overload alive that began with
 * something else (Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021).
 */
import { CoterieError, isCoterieError, RETRY_CODES } from '../errors.ts'
import type { HedgeBudget } from '../hedge-budget.ts'
import type { Answer } from '../messages.ts'
import type { Clock, RequestOptions, Timers } from '../ports.ts'
import { staggered } from '../staggered.ts'

/** A node that has not answered by then is late; longer than the node itself waits for a late replica. */
const LATE_MS = 150
/** Where one is late already, the next one is given less before the one after it is asked as well. */
const NEXT_LATE_MS = 50
/** Then another node is asked though hedges do not reach: the one asked may be cut off from the others. */
const PATIENCE_MS = 900
/** When all have failed, all are asked again after these pauses: a range on its way, or a node just gone, is known by then. */
const PAUSES_MS = [100, 300]
export interface TriesParts {
  clock: Clock
  timers: Timers
  hedges: HedgeBudget
  /** Whom to ask, best first; asked for again before each round. */
  order: () => string[]
  ask: (peerId: string, options: RequestOptions) => Promise<Answer>
  /** Told of every try: how long an answer took, that it is late, or that there was none. */
  onTry?: (peerId: string, outcome: { ms: number } | { lateMs: number } | { error: CoterieError }) => void
}

/** Rejects with `not-available` when nobody answered in time, at once with what no other node would do better. */
export async function askInTurn(parts: TriesParts, options: RequestOptions): Promise<Answer> {
  const { clock, timers, order, hedges } = parts
  const endMs = clock.monotonicMs() + options.timeoutMs
  const leftMs = () => endMs - clock.monotonicMs()
  let worst: CoterieError | undefined
  hedges.earn()
  // A node that refuses has done nothing; one that has not answered may have done everything.
  const mayAskNext = (error: unknown) => !isCoterieError(error, 'timeout') || hedges.spend()
  const mayAskAgain = (error: unknown) => !isCoterieError(error, 'timeout', 'overloaded') || hedges.spend()
  const ask = async (peerId: string) => {
    const left = leftMs()
    if (left <= 0) throw worst ?? late(options.timeoutMs)
    return askOne(parts, peerId, { timeoutMs: left, signal: options.signal })
  }
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    const peers = order()
    const lateAfter = (peerId: string) => (peerId === peers[0] ? LATE_MS : NEXT_LATE_MS)
    try {
      if (peers.length === 0) break
      return await staggered(peers, ask, {
        timers,
        delayMs: lateAfter,
        patience: { ms: PATIENCE_MS, mayEnd: () => hedges.spendLong() },
        onSlow: peerId => {
          parts.onTry?.(peerId, { lateMs: lateAfter(peerId) })
          return hedges.spend()
        },
        isFinal: error => {
          if (!isCoterieError(error, ...RETRY_CODES)) return true
          // What a node says of its replicas tells more than that another node is silent.
          if (worst?.code !== 'not-available') worst = error
          return false
        },
        mayGoOn: mayAskNext
      })
    } catch (error) {
      if (!isCoterieError(error, ...RETRY_CODES)) throw error
      if (!mayAskAgain(error)) break
    }
    if (pauseMs === undefined || leftMs() <= pauseMs) break
    await timers.sleep(pauseMs, options.signal)
  }
  if (worst?.code === 'not-available') throw worst
  const last = worst === undefined ? '' : `; the last said: ${worst.message}`
  throw new CoterieError('not-available', `no node of the cluster answered this request${last}`)
}

/** Throws what the node says, and what the network does. */
async function askOne({ clock, ask, onTry }: TriesParts, peerId: string, options: RequestOptions): Promise<Answer> {
  const startMs = clock.monotonicMs()
  let error: unknown
  try {
    const answer = await ask(peerId, options)
    onTry?.(peerId, { ms: clock.monotonicMs() - startMs })
    if (answer.type !== 'moved') return answer
    error = new CoterieError('wrong-node', `${peerId} does not hold the range`)
  } catch (thrown) {
    error = thrown
  }
  if (isCoterieError(error, ...RETRY_CODES)) onTry?.(peerId, { error })
  throw error
}

const late = (ms: number) => new CoterieError('timeout', `no answer within ${ms} ms`)
