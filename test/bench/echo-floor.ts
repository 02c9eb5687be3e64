/**
 * The floor under every remote operation: length-prefixed echo over one libp2p stream (TCP, Noise, Yamux, the settings of
 * `wire/host.ts`) between two processes, with writes corked as `wire/cork.ts` does, and nothing else: no codec, no
 * handler, no deadline.
 *
 * @example
 *   const rows = await measureEchoFloor({ secondsPerCell: 2 })
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { hostConfig } from '../../src/wire/host.ts'
import { createIdentity } from '../../src/wire/identity.ts'
import { bytesOf, drained } from '../../src/wire/streams.ts'

export interface FloorRow {
  /** Bytes of payload, each way. */
  size: number
  inFlight: number
  perSecond: number
  /** Microseconds. */
  p50: number
  p99: number
  p999: number
}

export interface FloorOptions {
  sizes?: number[]
  inFlight?: number[]
  secondsPerCell?: number
}

const PROTOCOL = '/coterie-bench/echo/1'
const CLUSTER = '0'.repeat(32)
const SERVER_FLAG = '--echo-floor-server'
/** Frame: length of the rest and id, both u32, then the payload. */
const HEADER_BYTES = 8
const CORK_BYTES = 60_000

const host = async (listen: string[]) => {
  const { privateKey } = await createIdentity()
  return createLibp2p(hostConfig({ privateKey, listen, clusterId: CLUSTER }))
}

export async function measureEchoFloor(options: FloorOptions = {}): Promise<FloorRow[]> {
  const { sizes = [100, 1024], inFlight = [1, 16, 64], secondsPerCell = 1 } = options
  const server = fork(import.meta.filename, [SERVER_FLAG], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const node = await host([])
  try {
    const [address] = (await once(server, 'message')) as [string]
    const connection = await node.dial(multiaddr(address))
    const call = caller(await connection.newStream(PROTOCOL))
    const rows: FloorRow[] = []
    for (const size of sizes) {
      for (const count of inFlight) {
        await load(call, size, count, secondsPerCell / 4)
        rows.push(await load(call, size, count, secondsPerCell))
      }
    }
    return rows
  } finally {
    await node.stop()
    await stop(server)
  }
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return
  server.kill()
  await once(server, 'exit')
}

type Call = (payload: Uint8Array) => Promise<void>

async function load(call: Call, size: number, inFlight: number, seconds: number): Promise<FloorRow> {
  const payload = new Uint8Array(size).fill(7)
  const times: number[] = []
  const startMs = performance.now()
  const endMs = startMs + seconds * 1000
  const worker = async () => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      await call(payload)
      const doneMs = performance.now()
      times.push(doneMs - nowMs)
      nowMs = doneMs
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  const perSecond = Math.round((times.length * 1000) / (performance.now() - startMs))
  times.sort((a, b) => a - b)
  const quantile = (q: number) =>
    Math.round(1000 * (times[Math.min(times.length - 1, Math.floor(times.length * q))] ?? 0))
  return { size, inFlight, perSecond, p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) }
}

// ---- the two ends

function corked(stream: Stream): { write(frame: Buffer): void; flush(): void } {
  let frames: Buffer[] = []
  let bytes = 0
  let armed = false
  let blocked = false
  const flush = () => {
    armed = false
    if (bytes === 0 || blocked) return
    const chunk = frames.length === 1 ? frames[0]! : Buffer.concat(frames, bytes)
    frames = []
    bytes = 0
    if (stream.send(chunk)) return
    blocked = true
    drained(stream).then(
      () => {
        blocked = false
        flush()
      },
      () => {
        // The benchmark is over.
      }
    )
  }
  return {
    flush,
    write(frame) {
      frames.push(frame)
      bytes += frame.length
      if (bytes >= CORK_BYTES) flush()
      else if (!armed) {
        armed = true
        process.nextTick(flush)
      }
    }
  }
}

/** Hands every whole frame of a stream to `onFrame`, and calls `onChunk` when a chunk is used up. */
function frames(stream: Stream, onFrame: (frame: Buffer) => void, onChunk = () => {}): void {
  let rest: Buffer | undefined
  stream.addEventListener('message', event => {
    const bytes = bytesOf(event.data)
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const data = rest ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    while (data.length - at >= HEADER_BYTES) {
      const end = at + 4 + data.readUInt32LE(at)
      if (end > data.length) break
      onFrame(data.subarray(at, end))
      at = end
    }
    rest = at < data.length ? data.subarray(at) : undefined
    onChunk()
  })
}

function serve(stream: Stream): void {
  const out = corked(stream)
  frames(stream, frame => out.write(Buffer.from(frame)), out.flush)
}

function caller(stream: Stream): Call {
  const out = corked(stream)
  const waiting = new Map<number, () => void>()
  let id = 0
  frames(stream, frame => {
    const key = frame.readUInt32LE(4)
    const resolve = waiting.get(key)
    waiting.delete(key)
    resolve?.()
  })
  return payload =>
    new Promise(resolve => {
      id = (id + 1) >>> 0
      waiting.set(id, resolve)
      const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
      frame.writeUInt32LE(frame.length - 4, 0)
      frame.writeUInt32LE(id, 4)
      frame.set(payload, HEADER_BYTES)
      out.write(frame)
      if (waiting.size === 1) out.flush()
    })
}

if (process.argv[2] === SERVER_FLAG && process.send) {
  const node = await host(['/ip4/127.0.0.1/tcp/0'])
  await node.handle(PROTOCOL, serve)
  process.on('disconnect', () => process.exit(0))
  process.send(node.getMultiaddrs()[0]!.toString())
}
