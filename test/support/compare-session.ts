/** A compare session between two replicas in memory. */
import type { Duplex } from '../../src/ports.ts'
import { answerSync, type CompareOptions, type CompareResult, compareRanges } from '../../src/repair/compare.ts'
import { systemTimers } from '../../src/runtime.ts'
import { duplexPair, type MemoryPipe } from './memory-duplex.ts'
import { MemoryHub } from './memory-network.ts'
import type { MemoryReplica } from './memory-replica.ts'

/** The answering side of a session, as a node serves it. */
export function answerOn(pipe: MemoryPipe, replica: Pick<MemoryReplica, 'replicas' | 'copyFiles'>): Promise<void> {
  const parts = { ...replica, timers: systemTimers, prepare: async () => {}, mayProve: () => true }
  return pipe.serve(stream => answerSync(parts, stream))
}

export interface Session extends CompareOptions {
  ranges: number[]
  /** Stands between the two: sees every message of the initiator's, may cut. */
  pipe?: (pipe: MemoryPipe) => void
}

/** One session between two replicas; what both sides said of its end. */
export async function session(
  from: Pick<MemoryReplica, 'replicas'>,
  to: Pick<MemoryReplica, 'replicas' | 'copyFiles'>,
  { ranges, pipe, ...options }: Session
): Promise<CompareResult> {
  const hub = new MemoryHub()
  const network = hub.network('from')
  let answered: Promise<void> = Promise.resolve()
  const open = async (): Promise<Duplex> => {
    const made = duplexPair()
    answered = answerOn(made, to)
    answered.catch(() => undefined)
    pipe?.(made)
    return made.left
  }
  const parts = { replicas: from.replicas, timers: systemTimers, network: Object.assign(network, { open }) }
  const result = await compareRanges(parts, 'to', ranges, options)
  await answered
  return result
}
