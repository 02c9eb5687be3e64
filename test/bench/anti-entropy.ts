/**
 * What anti-entropy costs two replicas with a million keys each: to build the sums, to find that nothing differs, and to
 * find and mend what does. Both sides in one process, over a stream in memory; files on the real disk. Environment: KEYS
 * (1000000), RUNS (3).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { joined } from '../../src/bytes.ts'
import type { Outgoing } from '../../src/ports.ts'
import { BucketSums } from '../../src/replica/bucket-sums.ts'
import { session } from '../support/compare-session.ts'
import type { MemoryPipe } from '../support/memory-duplex.ts'
import { LoopDelay, machine, median, table } from './measure.ts'
import { intentOf, openReplica, type Replica } from './replica.ts'

const KEYS = Number(process.env.KEYS ?? 1_000_000)
const RUNS = Number(process.env.RUNS ?? 3)
const Q = 256
const VALUE_BYTES = 100
const AT_ONCE = 256
const ALL = Array.from({ length: Q }, (_, range) => range)
/** One writes, and the other has not heard of it. */
const MISSED = [0, 1, 100, 10_000]

interface Cost {
  wallMs: number
  cpuMs: number
  /** Both directions. */
  kib: number
  keys: number
  loopMs: number
}

/** Writes `count` keys through one replica, and gives their states to the others. */
async function write([first, ...others]: Replica[], from: number, count: number): Promise<void> {
  const one = async (i: number) => {
    const key = new TextEncoder().encode(`key ${i}`)
    const range = first!.replicas.rangeOf(key)
    const { bytes, stored } = await first!.replicas.write(range, key, intentOf(VALUE_BYTES))
    await Promise.all([stored, ...others.map(({ replicas }) => replicas.merge(range, key, bytes))])
  }
  for (let at = from; at < from + count; at += AT_ONCE) {
    const end = Math.min(from + count, at + AT_ONCE)
    await Promise.all(Array.from({ length: end - at }, (_, i) => one(at + i)))
  }
}

async function compared(from: Replica, to: Replica): Promise<Cost> {
  let bytes = 0
  const count = ({ left }: MemoryPipe) => {
    const { source, sink } = left
    const counted = async function* (messages: AsyncIterable<Outgoing> | Iterable<Outgoing>) {
      for await (const outgoing of messages) {
        const message = joined(outgoing)
        bytes += message.length
        yield message
      }
    }
    left.source = counted(source)
    left.sink = messages => sink(counted(messages))
  }
  const delay = new LoopDelay()
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const { sent, received } = await session(from, to, { ranges: ALL, pipe: count })
  const { user, system } = process.cpuUsage(cpu)
  return {
    wallMs: performance.now() - startMs,
    cpuMs: (user + system) / 1000,
    kib: bytes / 1024,
    keys: sent + received,
    loopMs: delay.takeMax()
  }
}

/** Nanoseconds that one replaced key costs the sums. */
function sumsNs(): number {
  const sums = new BucketSums()
  const startMs = performance.now()
  for (let i = 0; i < 1e6; i++) {
    sums.remove(i, i * 7, i)
    sums.add(i, i * 7, i + 1)
  }
  return performance.now() - startMs
}

export async function benchAntiEntropy(): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'coterie-bench-'))
  try {
    const a = await openReplica(join(scratch, 'a'), { q: Q, synced: ALL })
    const b = await openReplica(join(scratch, 'b'), { q: Q, synced: ALL })
    await write([a, b], 0, KEYS)
    const startMs = performance.now()
    for (const range of ALL) a.replicas.sums(range)
    const buildMs = performance.now() - startMs
    for (const range of ALL) b.replicas.sums(range)
    const rows: (string | number)[][] = []
    let next = KEYS
    for (const missed of MISSED) {
      const costs: Cost[] = []
      for (let run = 0; run < RUNS; run++) {
        await write([a], next, missed)
        next += missed
        const cost = await compared(a, b)
        if (cost.keys !== missed) throw new Error(`${cost.keys} keys travelled, ${missed} were missed`)
        costs.push(cost)
      }
      const of = (figure: keyof Cost) => median(costs.map(cost => cost[figure]))
      rows.push([String(missed), of('wallMs'), of('cpuMs'), of('kib'), of('loopMs')])
    }
    await Promise.all([a.store.close(), b.store.close()])
    const heads = ['keys missed', 'ms', 'CPU ms, both sides', 'KiB, both ways', 'loop late by, ms']
    return [
      `${machine()}; two replicas of ${KEYS} keys of ${VALUE_BYTES} bytes in ${Q} ranges; ${RUNS} runs, medians`,
      '',
      table(heads, rows),
      '',
      `Sums of all ranges built from the index: ${buildMs.toFixed(0)} ms. A replaced key costs the sums ${sumsNs().toFixed(0)} ns.`
    ].join('\n')
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
