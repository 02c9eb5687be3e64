/**
 * The floor under every remote operation: length-prefixed echo over one libp2p stream (TCP, Noise, Yamux, the settings of
 * `wire/host.ts`) between two processes, with writes corked as `wire/cork.ts` does, and nothing else: no codec, no
 * handler, no deadline.
 *
 * @example
 *   const floor = await EchoFloor.start()
 *   await floor.call(new Uint8Array(100))
 *   await floor.close()
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { bytesOf, drained } from '../../src/wire/streams.ts'
import { bareHost } from './host.ts'

const PROTOCOL = '/coterie-bench/echo/1'
const SERVER_FLAG = '--echo-floor-server'
/** Frame: length of the rest and id, both u32, then the payload. */
const HEADER_BYTES = 8
const CORK_BYTES = 60_000

/** The answering process and a stream to it. */
export class EchoFloor {
  readonly #server: ChildProcess
  readonly #node: Awaited<ReturnType<typeof bareHost>>
  /** Sends the payload and resolves when it is back. */
  readonly call: Call

  private constructor(server: ChildProcess, node: Awaited<ReturnType<typeof bareHost>>, call: Call) {
    this.#server = server
    this.#node = node
    this.call = call
  }

  static async start(): Promise<EchoFloor> {
    const server = fork(import.meta.filename, [SERVER_FLAG], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const node = await bareHost([])
    const [address] = (await once(server, 'message')) as [string]
    const connection = await node.dial(multiaddr(address))
    return new EchoFloor(server, node, caller(await connection.newStream(PROTOCOL)))
  }

  get pid(): number {
    return this.#server.pid!
  }

  async close(): Promise<void> {
    await this.#node.stop()
    if (this.#server.exitCode !== null) return
    this.#server.kill()
    await once(this.#server, 'exit')
  }
}

type Call = (payload: Uint8Array) => Promise<void>

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
  const node = await bareHost(['/ip4/127.0.0.1/tcp/0'])
  await node.handle(PROTOCOL, serve)
  process.on('disconnect', () => process.exit(0))
  process.send(node.getMultiaddrs()[0]!.toString())
}
