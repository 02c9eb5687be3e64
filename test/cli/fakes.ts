/** For the tests of the command line: a cluster in memory with dots and contexts, and an `Io` that records. */
import { PassThrough } from 'node:stream'
import { commands } from '../../src/cli/catalogue.ts'
import type { Io } from '../../src/cli/io.ts'
import type { Client, ConnectOptions, NodeOptions, Parts, RunningNode } from '../../src/cli/parts.ts'
import { run } from '../../src/cli/program.ts'
import type { ManageOptions } from '../../src/client/client.ts'
import { CoterieError } from '../../src/errors.ts'
import { checkKey, type PutOptions, type PutResult, toBytes, updateByRetry } from '../../src/store.ts'

export const CLUSTER_ID = '00112233445566778899aabbccddeeff'
export const PEER = '12D3KooWQcQwXAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA1'

interface Value {
  value: Uint8Array
  dot: string
  expiresAtMs?: number
}

/** Siblings as in the real thing: a write replaces what its context names, and stands beside the rest. */
export class FakeCluster implements Client {
  readonly cluster = { clusterId: CLUSTER_ID, name: 'fake', q: 16, n: 3, r: 2, w: 2 }
  readonly calls: { name: string; options: unknown }[] = []
  transfers: unknown[] = []
  failWith: CoterieError | undefined
  closed = 0
  readonly #keys = new Map<string, Value[]>()
  #counter = 0

  #state(key: Uint8Array): Value[] {
    return this.#keys.get(Buffer.from(key).toString('latin1')) ?? []
  }

  #record(name: string, options: unknown): void {
    this.calls.push({ name, options })
    if (this.failWith) throw this.failWith
  }

  async get(key: Uint8Array | string, options?: unknown) {
    this.#record('get', options)
    const siblings = this.#state(checkKey(key)).map(({ value, dot, expiresAtMs }) => ({
      value,
      dot,
      ...(expiresAtMs !== undefined && { expiresAt: expiresAtMs })
    }))
    return {
      values: siblings.map(one => one.value),
      siblings,
      context: siblings.map(one => one.dot).join(','),
      replies: 2
    }
  }

  async put(key: Uint8Array | string, value: Uint8Array | string, options: PutOptions = {}): Promise<PutResult> {
    this.#record('put', options)
    const expiresAtMs = options.ttlMs === undefined ? undefined : Date.now() + options.ttlMs
    return this.#write(checkKey(key), { value: toBytes(value), expiresAtMs }, options.context)
  }

  async delete(key: Uint8Array | string, options: PutOptions = {}): Promise<PutResult> {
    this.#record('delete', options)
    const bytes = checkKey(key)
    const all = this.#state(bytes)
    return this.#write(bytes, undefined, options.context ?? all.map(one => one.dot).join(','))
  }

  #write(key: Uint8Array, value: Omit<Value, 'dot'> | undefined, context = ''): PutResult {
    const covered = new Set(context.split(','))
    const before = this.#state(key)
    const rest = before.filter(one => !covered.has(one.dot))
    const dot = `00000000000000aa:${++this.#counter}`
    const after = value ? [...rest, { ...value, dot }] : rest
    const id = Buffer.from(key).toString('latin1')
    if (after.length > 0) this.#keys.set(id, after)
    else this.#keys.delete(id)
    const replaced = before.length - rest.length
    const dots = [...covered, dot].filter(Boolean).join(',')
    return { context: dots, dot, acks: 2, sloppy: false, siblings: after.length, replaced }
  }

  async manage(action: string, options: ManageOptions = {}): Promise<void> {
    this.#record(action, options)
  }

  update: Client['update'] = (key, merge, options) =>
    updateByRetry(this, key, merge, options, { nowMs: () => 0, pause: async () => {} })

  async *keys(options?: { prefix?: Uint8Array | string }): AsyncIterable<Uint8Array> {
    this.#record('keys', options)
    const prefix = Buffer.from(toBytes(options?.prefix ?? '')).toString('latin1')
    for (const key of this.#keys.keys()) if (key.startsWith(prefix)) yield new Uint8Array(Buffer.from(key, 'latin1'))
  }

  async info(what: string): Promise<unknown> {
    this.#record('info', what)
    const owners = Array.from({ length: 16 }, (_, range) => ({ range, owner: MEMBERS[range % 3]!.peerId, epoch: 1 }))
    if (what === 'members') return MEMBERS
    if (what === 'ring') return { clusterId: CLUSTER_ID, q: 16, n: 3, owners }
    if (what === 'transfers') return this.transfers
    if (what === 'where') {
      const replicas = MEMBERS.map(({ peerId, zone, alive }) => ({ peerId, zone, alive, synced: alive }))
      return {
        key: 'k',
        keyBase64: 'aw==',
        position: '00ff00ff00ff00ff',
        range: 0,
        preference: replicas.map(r => r.peerId),
        replicas
      }
    }
    return { keys: this.#keys.size, bytes: 2048, gossip: { rounds: 7 } }
  }

  async close(): Promise<void> {
    this.closed++
  }
}

export const MEMBERS = ['AAAAAAAAA1', 'BBBBBBBBB2', 'CCCCCCCCC3'].map((tail, i) => ({
  peerId: `12D3KooWPeer${tail}`,
  status: 'up',
  alive: i !== 1,
  zone: i === 2 ? 'north' : '',
  capacity: 1,
  addresses: [`/ip4/10.0.0.${i + 1}/tcp/4270/p2p/12D3KooWPeer${tail}`],
  ranges: 5,
  keys: 1200 * i,
  bytes: 4096,
  opsPerSecond: 1.25,
  incarnation: 1,
  self: i === 0
}))

export interface FakeIo extends Io {
  out(): string
  err(): string
  signal(name: string): void
  exits: number[]
}

export function fakeIo(
  options: { stdin?: string; env?: Record<string, string>; tty?: boolean; columns?: number } = {}
): FakeIo {
  const stdin = Object.assign(new PassThrough(), { isTTY: options.tty === true })
  if (options.stdin !== undefined) stdin.end(options.stdin)
  const output = () =>
    Object.assign(new PassThrough(), { isTTY: options.tty === true, columns: options.columns ?? 100 })
  const [stdout, stderr] = [output(), output()]
  const texts = ['', '']
  stdout.on('data', chunk => (texts[0] += chunk.toString('latin1')))
  stderr.on('data', chunk => (texts[1] += chunk.toString('latin1')))
  const text = (i: number) => Buffer.from(texts[i]!, 'latin1').toString('utf8')
  const listeners = new Set<(name: string) => void>()
  const exits: number[] = []
  return {
    stdin,
    stdout,
    stderr,
    env: options.env ?? {},
    home: undefined,
    command: [process.execPath, 'bin/coterie.ts'],
    onSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    exitNow: code => exits.push(code),
    out: () => text(0),
    err: () => text(1),
    signal: name => {
      for (const listener of listeners) listener(name)
    },
    exits
  }
}

export interface FakeParts extends Parts {
  connects: ConnectOptions[]
  nodes: NodeOptions[]
}

/** Parts on one fake cluster. The identity's bytes are its peer id. `node` may change the running node. */
export function fakeParts(cluster = new FakeCluster(), node: Partial<RunningNode> = {}): FakeParts {
  const connects: ConnectOptions[] = []
  const nodes: NodeOptions[] = []
  const running: RunningNode = Object.assign(Object.create(cluster) as RunningNode, {
    peerId: PEER,
    info: (what: string) => cluster.info(what),
    addresses: () => ['/ip4/127.0.0.1/tcp/4999'],
    ready: async () => {},
    onFatal: () => {},
    leave: async () => {},
    onLeft: () => {},
    close: async () => void cluster.closed++,
    ...node
  })
  return {
    connects,
    nodes,
    async connect(options) {
      connects.push(options)
      return cluster
    },
    async createNode(options) {
      nodes.push(options)
      return running
    },
    createIdentity: async () => new TextEncoder().encode(PEER),
    loadIdentity: async bytes => ({ peerId: new TextDecoder().decode(bytes) }),
    inspect: async (path, { keys }) => ({ document: { path, keys }, text: `file ${path}` }),
    simulator: async () => {
      throw new CoterieError('internal', 'no simulator in this test')
    },
    version: async () => '9.9.9'
  }
}

/** Runs one command line to its end. */
export async function cli(argv: string[], io: FakeIo = fakeIo(), parts: Parts = fakeParts()) {
  const code = await run(argv, io, parts, commands)
  return { code, out: io.out(), err: io.err() }
}

/** Polls until `holds`, for at most five seconds unless told otherwise. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, limitMs = 5000): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await holds())) {
    if (Date.now() > end) throw new CoterieError('timeout', `waited in vain for ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
