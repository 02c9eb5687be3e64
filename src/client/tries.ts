/**
 * How a client gets one request answered: it asks the best node, and the next while there is time, and all of them again
 * after a pause. A write keeps its id, so asking twice mints nothing twice (failures 10).
 */
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Answer } from '../messages.ts'
import type { Clock, RequestOptions, Timers } from '../ports.ts'

/** A node that is asked gets this share of the time that is left, and no more than this, so that another one still has some. */
const TRY_SHARE = 0.5
const TRY_MS = 1000
/** When all have failed, all are asked again after these pauses: a range on its way, or a node just gone, is known by then. */
const PAUSES_MS = [100, 300]
/** Another node may do better: `not-available` too, since the one asked may be the one that is cut off. */
const RETRY_CODES = [
  'not-available',
  'unreachable',
  'timeout',
  'overloaded',
  'closed',
  'wrong-node',
  'disk-full',
  'range-fenced'
] as const

export interface TriesParts {
  clock: Clock
  timers: Timers
  /** Whom to ask, best first; asked for again before each round. */
  order: () => string[]
  ask: (peerId: string, options: RequestOptions) => Promise<Answer>
  /** Told of every try: how long an answer took, or that there was none. */
  onTry?: (peerId: string, outcome: { ms: number } | { error: CoterieError }) => void
}

/** Rejects with `not-available` when nobody answered in time, at once with what no other node would do better. */
export async function askInTurn(parts: TriesParts, options: RequestOptions): Promise<Answer> {
  const { clock, timers, order } = parts
  const endMs = clock.monotonicMs() + options.timeoutMs
  let worst: CoterieError | undefined
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    for (const peerId of order()) {
      const leftMs = endMs - clock.monotonicMs()
      if (leftMs <= 0) break
      const timeoutMs = Math.max(1, Math.min(leftMs * TRY_SHARE, pauseMs === undefined ? leftMs : TRY_MS))
      const outcome = await askOne(parts, peerId, { timeoutMs, signal: options.signal })
      if (!(outcome instanceof CoterieError)) return outcome
      // What a node says of its replicas tells more than that another node is silent.
      if (worst?.code !== 'not-available') worst = outcome
    }
    if (pauseMs === undefined || endMs - clock.monotonicMs() <= pauseMs) break
    await timers.sleep(pauseMs, options.signal)
  }
  if (worst?.code === 'not-available') throw worst
  const last = worst === undefined ? '' : `; the last said: ${worst.message}`
  throw new CoterieError('not-available', `no node of the cluster answered this request${last}`)
}

/** The answer, or why another node should be asked. Throws what no other node would do better. */
async function askOne(
  { clock, ask, onTry }: TriesParts,
  peerId: string,
  options: RequestOptions
): Promise<Answer | CoterieError> {
  const startMs = clock.monotonicMs()
  try {
    const answer = await ask(peerId, options)
    onTry?.(peerId, { ms: clock.monotonicMs() - startMs })
    if (answer.type !== 'moved') return answer
    const error = new CoterieError('wrong-node', `${peerId} does not hold the range`)
    onTry?.(peerId, { error })
    return error
  } catch (error) {
    if (!isCoterieError(error, ...RETRY_CODES)) throw error
    onTry?.(peerId, { error })
    return error
  }
}
