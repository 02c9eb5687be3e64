/**
 * Everything impure, as interfaces. The core (membership, ring, replica, coordinator, repair, storage) reaches time,
 * chance, other nodes, disks and keys only through these. `runtime.ts` and `wire/` implement them for real; the
 * simulator implements them on a virtual clock, a seeded random and fake networks and disks.
 */
import type { Answer, Request } from './messages.ts'

/** Two clocks. Only `wallMs` may be written down; only `monotonicMs` may be subtracted. */
export interface Clock {
  /** Milliseconds since the epoch. Orders nothing but TTL expiry and the age of replaced write ids (design §7). */
  wallMs(): number
  /** Milliseconds from an arbitrary start, never going back. */
  monotonicMs(): number
}

export interface Timer {
  cancel(): void
}

export interface Timers {
  /** Runs `fn` once, no earlier than `delayMs` from now. Never keeps a process alive by itself. */
  after(delayMs: number, fn: () => void): Timer
  /** Runs `fn` when the current turn's promise callbacks are done, before any I/O: the moment to send a batch. */
  soon(fn: () => void): void
  /** Runs `fn` when the I/O that is ready now has been handled: the moment to send what many completions have made. */
  afterIo(fn: () => void): void
  /** Resolves after `delayMs`; rejects with `signal.reason` as soon as `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

export interface Random {
  /** `length` random bytes, fit for identities, actors and nonces. */
  bytes(length: number): Uint8Array
  /** A float in [0, 1). */
  float(): number
}

/** Signs as this node; verifies as anybody. Peer ids are the usual base58 strings of Ed25519 libp2p identities. */
export interface Signer {
  readonly peerId: string
  sign(message: Uint8Array): Uint8Array
  /** False for a wrong signature and for a `peerId` that carries no Ed25519 key. Never throws. */
  verify(peerId: string, message: Uint8Array, signature: Uint8Array): boolean
}

/**
 * Files, as a thin layer over the operating system: no buffering, no retries. Errors are Node's, with `code`
 * (`ENOENT`, `ENOSPC`, `EIO`, …). Paths are joined with `/`.
 */
export interface FileIo {
  /** Files that this process may have open at once, for whatever; undefined: not known. */
  readonly maxHandles?: number
  /** `'r'`: existing, read only. `'r+'`: existing, read and write. `'wx+'`: created, fails with EEXIST. */
  open(path: string, mode: 'r' | 'r+' | 'wx+'): Promise<FileHandle>
  /** Names in a directory, in no order; `[]` when the directory does not exist. */
  list(dir: string): Promise<string[]>
  /** Creates a directory and its parents; no error when it is there. */
  makeDir(dir: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Makes creations, renames and unlinks in `dir` survive a power cut. */
  syncDir(dir: string): Promise<void>
  /** Whole content, or undefined when the file does not exist. For small files. */
  readFile(path: string): Promise<Uint8Array | undefined>
  /** Replaces a small file atomically: temporary file, sync, rename, directory sync. */
  replaceFile(path: string, content: Uint8Array): Promise<void>
}

export interface FileHandle {
  /** Bytes read into `into` from file offset `position`; fewer than asked only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Writes all buffers, one after another, at `position`. Either all bytes are written or it throws. */
  write(buffers: Uint8Array[], position: number): Promise<void>
  /** fdatasync: data and size survive a power cut. */
  sync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

/** A message to send: whole, or in pieces that belong one after another, so that long ones need not be put together. */
export type Outgoing = Uint8Array | readonly Uint8Array[]

/** A stream of messages, each a whole `Uint8Array`, between two admitted nodes: what an `it-pipe` pipeline wants. */
export interface Duplex {
  /** Messages from the other side; ends when it closes its half; throws when the stream breaks. Pulling slower slows the sender. */
  source: AsyncIterable<Uint8Array>
  /** Sends each message as the other side can take it, then closes our half. */
  sink(source: AsyncIterable<Outgoing> | Iterable<Outgoing>): Promise<void>
  /** Gives the stream up on both sides. Safe to call at any time. */
  abort(reason: Error): void
}

export type StreamProtocol = 'gossip' | 'sync'

export interface RequestOptions {
  /** How long from now the answer is of any use, in milliseconds; travels with the request. */
  timeoutMs: number
  signal?: AbortSignal
}

/** What an incoming request or stream knows about its sender. */
export interface Caller {
  peerId: string
  /** `client`: holds the secret but is no member (a REPL, an embedding program). */
  role: 'node' | 'client'
}

export type RequestHandler = (request: Request, from: Caller, options: RequestOptions) => Promise<Answer>
export type StreamHandler = (stream: Duplex, from: Caller) => Promise<void>

/**
 * Other nodes. Only admitted peers are reached or heard. Addressing is by peer id; how a peer id becomes a connection
 * (address book, dialling, backoff, admission) is the implementation's business.
 */
export interface Network {
  readonly peerId: string
  /**
   * One request, one answer, over the long-lived kv stream. Rejects with a CoterieError: `unreachable` (nothing was
   * sent), `timeout`, `overloaded`, or the code that the other side answered with.
   */
  request(peerId: string, request: Request, options: RequestOptions): Promise<Answer>
  open(peerId: string, protocol: StreamProtocol, options: { timeoutMs: number; signal?: AbortSignal }): Promise<Duplex>
  /** Registers the one handler of requests; an error it throws travels as its code and message. */
  handleRequests(handler: RequestHandler): void
  handleStreams(protocol: StreamProtocol, handler: StreamHandler): void
  /** Peers with an admitted connection now. */
  connected(): string[]
  isConnected(peerId: string): boolean
  /** Called when a member becomes connected or is lost. Returns the way to unsubscribe. */
  onConnection(listener: (peerId: string, connected: boolean) => void): () => void
}

/** The bag that a core is built on. */
export interface Ports {
  clock: Clock
  timers: Timers
  random: Random
  signer: Signer
  files: FileIo
  network: Network
  log: Log
}

export interface Log {
  error(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  debug(message: string, fields?: Record<string, unknown>): void
}
