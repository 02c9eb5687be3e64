/**
 * How fast ranges move from one node to another, against the floor: the same number of bytes over one bare libp2p stream
 * of the same connection (TCP, Noise, Yamux, the settings of `wire/host.ts`) between the same two processes. As files
 * (`file-fetch.ts`, with all that makes them a copy: checked, indexed, written, synced), and key by key (`compare.ts`), both
 * over the network of a node, which ends sessions as it does there. In turn, several runs.
 * Environment: MIB (256), VALUE_BYTES (1024), RANGES (16), RUNS (5), WAYS (bare,files,keys).
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection, Stream } from '@libp2p/interface'
import { answerSync, compareRanges } from '../../src/repair/compare.ts'
import { fetchFiles } from '../../src/repair/file-fetch.ts'
import { systemTimers } from '../../src/runtime.ts'
import { bytesOf, drained } from '../../src/wire/streams.ts'
import { type Node, startNode, until } from '../wire/hosts.ts'
import { machine, median, table } from './measure.ts'
import { intentOf, openReplica } from './replica.ts'

const MIB = Number(process.env.MIB ?? 256)
const VALUE_BYTES = Number(process.env.VALUE_BYTES ?? 1024)
const Q = Number(process.env.RANGES ?? 16)
const RUNS = Number(process.env.RUNS ?? 5)
const WORDS = { bare: 'a bare libp2p stream', files: 'ranges, as files', keys: 'ranges, key by key' }
type Way = keyof typeof WORDS
const WAYS = (process.env.WAYS ?? 'bare,files,keys').split(',') as Way[]
const ALL = Array.from({ length: Q }, (_, range) => range)
const SOURCE_FLAG = '--transfer-source'
const BARE = '/coterie-bench/bare/1'
const PIECE = new Uint8Array(256 * 1024).fill(7)
const WRITES_AT_ONCE = 256
const MEGA = 1e6

/** What the process that has the ranges says when it has them. */
interface Source {
  peerId: string
  address: string
  fileBytes: number
  keys: number
}

// ---- the process that has the ranges

async function source(dir: string): Promise<void> {
  const { network, libp2p, peerId, address } = await startNode()
  const { store, replicas, copyFiles } = await openReplica(dir, { q: Q, synced: ALL })
  const count = Math.floor((MIB * 2 ** 20) / VALUE_BYTES)
  const one = async (i: number) => {
    const key = new TextEncoder().encode(`key ${i}`)
    const { stored } = await replicas.write(replicas.rangeOf(key), key, intentOf(VALUE_BYTES))
    await stored
  }
  for (let at = 0; at < count; at += WRITES_AT_ONCE)
    await Promise.all(Array.from({ length: Math.min(WRITES_AT_ONCE, count - at) }, (_, i) => one(at + i)))
  const { fileBytes } = store.totalStats()
  await libp2p.handle(BARE, stream => sendBare(stream, fileBytes))
  const parts = { replicas, copyFiles, timers: systemTimers, prepare: async () => {}, mayProve: () => true }
  network.handleStreams('sync', stream => answerSync(parts, stream))
  process.on('disconnect', () => process.exit(0))
  process.send!({ peerId, address, fileBytes, keys: count } satisfies Source)
}

async function sendBare(stream: Stream, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; sent += PIECE.length) if (!stream.send(PIECE)) await drained(stream)
  await stream.close()
}

if (process.argv[2] === SOURCE_FLAG) await source(process.argv[3]!)

// ---- the process that takes them

async function bare(connection: Connection): Promise<number> {
  const stream = await connection.newStream(BARE)
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    bytes += bytesOf(data).length
  })
  await new Promise<void>(resolve => {
    stream.addEventListener('remoteCloseWrite', () => resolve(), { once: true })
  })
  await stream.close()
  return bytes
}

/** Milliseconds, in a node that runs: until all of it is on disk and stands as a copy. */
async function taken(dir: string, { network }: Node, { peerId, keys }: Source, way: 'files' | 'keys'): Promise<number> {
  const { store, copies, replicas, copyFiles } = await openReplica(dir, { q: Q, synced: [] })
  const startMs = performance.now()
  if (way === 'files') {
    let settled = 0
    const parts = { network, timers: systemTimers, copyFiles }
    const onSettled = () => {
      settled++
    }
    await fetchFiles(parts, peerId, ALL, {
      isWanted: () => true,
      mayHavePart: () => false,
      onSettled,
      onProgress: () => {}
    })
    if (settled !== Q) throw new Error(`${settled} of ${Q} ranges came`)
  } else {
    await replicas.create(ALL)
    await compareRanges({ replicas, network, timers: systemTimers }, peerId, ALL)
    await replicas.sync(ALL)
  }
  if (store.totalStats().keys !== keys) throw new Error(`${store.totalStats().keys} of ${keys} keys came`)
  await copies.set(ALL, 'syncing')
  const tookMs = performance.now() - startMs
  await store.close()
  return tookMs
}

export async function benchTransfer(): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'coterie-bench-'))
  const child = fork(import.meta.filename, [SOURCE_FLAG, join(scratch, 'source')], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  const node = await startNode()
  try {
    const [source] = (await once(child, 'message')) as [Source]
    node.book.set(source.peerId, [source.address])
    node.wanted.push(source.peerId)
    await until('the two have met', () => node.network.isConnected(source.peerId))
    const connection = node.network.admission.connectionTo(source.peerId)!
    const { fileBytes } = source
    const rates: Record<Way, number[]> = { bare: [], files: [], keys: [] }
    for (let run = 0; run < RUNS; run++) {
      for (const way of WAYS) {
        const startMs = performance.now()
        const bytes = way === 'bare' ? await bare(connection) : fileBytes
        const tookMs =
          way === 'bare' ? performance.now() - startMs : await taken(join(scratch, `${way}-${run}`), node, source, way)
        rates[way].push(bytes / MEGA / (tookMs / 1000))
        rmSync(join(scratch, `${way}-${run}`), { recursive: true, force: true })
      }
    }
    const rowOf = (way: Way): [string, number, string] => {
      const ratio = median(rates[way].map((rate, run) => rate / rates.bare[run]!))
      return [WORDS[way], median(rates[way]), way === 'bare' ? '1' : ratio.toFixed(2)]
    }
    return [
      `${machine()}; ${(fileBytes / MEGA).toFixed(0)} MB in ${Q} ranges, values of ${VALUE_BYTES} bytes; ${RUNS} runs in turn, medians`,
      '',
      table(['', 'MB/s', 'of the bare stream'], WAYS.map(rowOf))
    ].join('\n')
  } finally {
    await node.stop()
    if (child.connected) child.disconnect()
    rmSync(scratch, { recursive: true, force: true })
  }
}
