/**
 * Watches a run for what a seed does not decide: real clocks, timers, chance, files, sockets, other threads. What it finds
 * it reports by name and place, and lets happen, so that the run can end. It sees what is called through the global object
 * and through Node's modules; of what a module has put aside when it was loaded, only the strict mode sees anything.
 *
 * @example
 *   await guarded({ strict: false, onBreach: ({ what, where }) => … }, () => world.run(main))
 *   // { what: 'Math.random', where: 'src/storage/x.ts:12' }
 */
import { AsyncResource, createHook, executionAsyncId } from 'node:async_hooks'
import childProcess from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join, relative, sep } from 'node:path'
import process from 'node:process'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export interface Breach {
  /** What was used: `Math.random`, `new Date()`, `crypto.randomBytes`, `file I/O (FSREQPROMISE)`. */
  what: string
  /**
   * `path:line` of the nearest frame in the project, relative to its root; for one in `src/sim` also who called it. The
   * nearest frame of a dependency, where the project is not on the stack.
   */
  where: string
}

export interface GuardOptions {
  /** Also watches which asynchronous resources Node makes, and synchronous file access. Slower: for tests. */
  strict: boolean
  /** Called once for each place and kind. */
  onBreach: (breach: Breach) => void
}

/** One run at a time: what it replaces belongs to the whole process. Throws when another is under way. */
export async function guarded<T>(options: GuardOptions, work: () => Promise<T>): Promise<T> {
  if (underGuard) throw new Error('a run is under guard already; runs of one process come one after another')
  underGuard = true
  const sentry = new Sentry(options)
  try {
    sentry.mount()
    return await work()
  } finally {
    sentry.dismount()
    underGuard = false
  }
}

let underGuard = false

type Callable = (...args: never[]) => unknown

/** Holder, its name in a report, and which of its functions a run must not call. */
const FORBIDDEN: readonly (readonly [object, string, readonly string[]])[] = [
  // WeakRef and FinalizationRegistry tell when the garbage collector came by.
  [
    globalThis,
    '',
    ['setTimeout', 'setInterval', 'setImmediate', 'fetch', 'WebSocket', 'WeakRef', 'FinalizationRegistry']
  ],
  [globalThis, '', ['MessageChannel', 'BroadcastChannel']],
  [Math, 'Math', ['random']],
  [Date, 'Date', ['now']],
  [Performance.prototype, 'performance', ['now', 'mark', 'measure']],
  [AbortSignal, 'AbortSignal', ['timeout']],
  [Atomics, 'Atomics', ['waitAsync']],
  [process, 'process', ['hrtime', 'uptime']],
  [process.hrtime, 'process.hrtime', ['bigint']],
  [timers, '', ['setTimeout', 'setInterval', 'setImmediate']],
  [timersPromises, 'timers/promises', ['setTimeout', 'setInterval', 'setImmediate']],
  [Object.getPrototypeOf(timersPromises.scheduler), 'scheduler', ['wait', 'yield']],
  [crypto, 'crypto', ['randomBytes', 'pseudoRandomBytes', 'prng', 'rng', 'randomFill', 'randomFillSync', 'randomInt']],
  [crypto, 'crypto', ['randomUUID', 'generateKey', 'generateKeySync', 'generateKeyPair', 'generateKeyPairSync']],
  [crypto, 'crypto', ['generatePrime', 'generatePrimeSync']],
  [Crypto.prototype, 'crypto', ['getRandomValues', 'randomUUID']],
  [SubtleCrypto.prototype, 'crypto.subtle', functionsOf(SubtleCrypto.prototype)],
  [childProcess, 'child_process', ['spawn', 'spawnSync', 'exec', 'execSync', 'execFile', 'execFileSync', 'fork']]
]

/** Deterministic without a callback, done on another thread with one. */
const SYNCHRONOUS_ONLY = ['sign', 'verify']

/** All but writing: what a trace prints may go to a file. */
const SYNCHRONOUS_FILES = functionsOf(fs).filter(name => name.endsWith('Sync') && !/^(writeSync|fsyncSync)$/.test(name))

/** Asynchronous resources that depend on nothing outside; signing ones are made by synchronous calls too. */
const HARMLESS = new Set(['PROMISE', 'Microtask', 'SIGNREQUEST', 'VERIFYREQUEST', 'STREAM_END_OF_STREAM'])

const RESOURCES: readonly (readonly [RegExp, string])[] = [
  [/^(FSREQ|FILEHANDLE|DIRHANDLE|FSEVENT|STATWATCHER)/, 'file I/O'],
  [/^(GETADDRINFO|GETNAMEINFO|QUERYWRAP|DNSCHANNEL)/, 'name lookup'],
  [/^(TCP|PIPE|UDP|TLS|HTTP|QUIC|TTY|WRITEWRAP|SHUTDOWNWRAP|JSSTREAM)/, 'socket'],
  [/^(PROCESSWRAP|SIGNALWRAP)/, 'process'],
  [/^(WORKER|MESSAGEPORT)/, 'thread'],
  [/^(ZLIB|BROTLI|ZSTD)/, 'compression in the background'],
  [/REQUEST$/, 'cryptography in the background'],
  [/^(Timeout|Immediate)$/, 'real timer']
]

/** Deep enough to find our own code under a dependency's. */
const STACK_FRAMES = 60
/** The world's immediates, one an event: their caller is near. */
const NEAR_FRAMES = 12

class Sentry {
  readonly #strict: boolean
  readonly #onBreach: (breach: Breach) => void
  readonly #replaced: { holder: object; name: PropertyKey; before: PropertyDescriptor }[] = []
  readonly #reported = new Set<string>()
  readonly #hook = createHook({
    init: (id, type) => this.#resource(id, type),
    // Known to Node from 24 on; before, promises are told too, and ignored.
    trackPromises: false
  })
  /** Asynchronous resource → the place that made it, which what happens there later no longer shows. */
  readonly #places = new Map<number, string>()
  /** What follows from work that was under way before the run: a child process of the tests ends, say. */
  readonly #foreign = new Set<number>()
  #firstId = 0
  #mounted = false
  /** Inside the real function of a breach that is reported: what that makes is no second one. */
  #passing = 0

  constructor({ strict, onBreach }: GuardOptions) {
    this.#strict = strict
    this.#onBreach = onBreach
  }

  mount(): void {
    this.#mounted = true
    for (const [holder, prefix, names] of FORBIDDEN) {
      for (const name of names) this.#watch(holder, name, prefix === '' ? name : `${prefix}.${name}`, () => true)
    }
    for (const name of SYNCHRONOUS_ONLY) {
      this.#watch(crypto, name, `crypto.${name} with a callback`, args => typeof args.at(-1) === 'function')
    }
    this.#watchDate()
    if (this.#strict) {
      for (const name of SYNCHRONOUS_FILES) this.#watch(fs, name, `fs.${name}`, () => true)
    }
    // `import { randomBytes } from 'node:crypto'` is another name for what was there when it was last told.
    syncBuiltinESMExports()
    if (!this.#strict) return
    this.#firstId = new AsyncResource('run').asyncId()
    this.#hook.enable()
  }

  dismount(): void {
    this.#mounted = false
    this.#hook.disable()
    for (const { holder, name, before } of this.#replaced.reverse()) Object.defineProperty(holder, name, before)
    syncBuiltinESMExports()
  }

  #watch(holder: object, name: string, what: string, forbids: (args: unknown[]) => boolean): void {
    const before = Object.getOwnPropertyDescriptor(holder, name)
    if (before === undefined || typeof before.value !== 'function') return
    const pass = <T>(args: unknown[], call: () => T) => (forbids(args) ? this.#reportAnd(what, call) : call())
    // A proxy, so that what hangs on the function stays: `promisify`, `prototype`, static members.
    const value: Callable = new Proxy(before.value as Callable, {
      apply: (real, self, args) => pass(args, () => Reflect.apply(real, self, args)),
      construct: (real, args, target) =>
        pass(args, () => Reflect.construct(real, args, target === value ? real : target) as object)
    })
    this.#replace(holder, name, { ...before, value })
  }

  #watchDate(): void {
    const real = Date
    const value: DateConstructor = new Proxy(real, {
      apply: () => this.#reportAnd('Date()', () => real()),
      construct: (_, args, target) => {
        const make = () => Reflect.construct(real, args, target === value ? real : target) as Date
        return args.length === 0 ? this.#reportAnd('new Date()', make) : make()
      }
    })
    this.#replace(globalThis, 'Date', { ...Object.getOwnPropertyDescriptor(globalThis, 'Date')!, value })
  }

  #replace(holder: object, name: string, descriptor: PropertyDescriptor): void {
    this.#replaced.push({ holder, name, before: Object.getOwnPropertyDescriptor(holder, name)! })
    Object.defineProperty(holder, name, descriptor)
  }

  #reportAnd<T>(what: string, call: () => T): T {
    // Inside another: `randomFill` calls `randomBytes`. After the run: somebody has kept what was there during it.
    if (this.#passing === 0 && this.#mounted) this.#report(what, placeOf(stack(STACK_FRAMES)))
    this.#passing++
    try {
      return call()
    } finally {
      this.#passing--
    }
  }

  #resource(id: number, type: string): void {
    if (this.#passing > 0 || HARMLESS.has(type)) return
    if (type === 'Immediate' && placeOf(stack(NEAR_FRAMES))?.startsWith(WORLD_PATH)) return
    const frames = stack(STACK_FRAMES)
    if (frames.some(({ text }) => IS_SYNCHRONOUS.test(text) || IS_STDIO.test(text))) return
    const cause = executionAsyncId()
    const place = placeOf(frames) ?? this.#places.get(cause)
    if (place !== undefined) this.#places.set(id, place)
    else if (cause < this.#firstId || this.#foreign.has(cause)) {
      this.#foreign.add(id)
      return
    }
    if (type !== 'TickObject') {
      const kind = RESOURCES.find(([types]) => types.test(type))?.[1] ?? 'asynchronous resource'
      this.#report(`${kind} (${type})`, place)
      return
    }
    // In Node's streams ticks are as good as promises; in the core they are a way around its `Timers`.
    const caller = frames[frames.findIndex(({ text }) => /\bnextTick \(node:/.test(text)) + 1]
    if (caller?.path !== undefined) this.#report('process.nextTick', placeOf([caller]))
  }

  #report(what: string, place: string | undefined): void {
    // Without a place it is what follows from one that had one: an open file is read and closed.
    if (place === undefined && this.#reported.size > 0) return
    const where = place ?? 'outside the project'
    const key = `${what} ${where}`
    if (this.#reported.has(key)) return
    this.#reported.add(key)
    this.#onBreach({ what, where })
  }
}

interface Frame {
  /** As in a stack trace. */
  text: string
  file: string
  line: string
  /** Relative to the project's root, with `/`; undefined for Node itself and dependencies. */
  path: string | undefined
}

const ROOT = join(import.meta.dirname, '..', '..')
const SIM_PATH = 'src/sim/'
const WORLD_PATH = 'src/sim/world/world.'
const IS_SYNCHRONOUS = /\bat (?:[\w.]+\.)?(?:\w+Sync|syncBufferWrapper) \(node:/
/** Standard output is opened when somebody first prints. */
const IS_STDIO = /\b(?:getStdout|getStderr|createWritableStdioStream) \(node:/
const POSITION = /(?:\(|\bat (?:async )?)((?:file:|node:|\/|[A-Za-z]:\\).*?):(\d+):\d+\)?$/

function stack(depth: number): Frame[] {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = depth
  const text = new Error().stack ?? ''
  Error.stackTraceLimit = before
  return text.split('\n').flatMap(line => {
    const [, file, number] = POSITION.exec(line) ?? []
    if (file === undefined || file === import.meta.url || file === import.meta.filename) return []
    return [{ text: line, file, line: number!, path: pathInProject(file) }]
  })
}

function pathInProject(file: string): string | undefined {
  if (file.startsWith('node:')) return undefined
  const path = relative(ROOT, file.startsWith('file:') ? fileURLToPath(file) : file)
    .split(sep)
    .join('/')
  return path.startsWith('../') || path.startsWith('/') || path.includes('node_modules/') ? undefined : path
}

function placeOf(frames: Frame[]): string | undefined {
  const at = ({ path, file, line }: Frame) => `${path ?? file}:${line}`
  const ours = frames.filter(({ path }) => path !== undefined)
  const [nearest] = ours
  if (nearest === undefined) {
    const theirs = frames.find(({ file }) => !file.startsWith('node:'))
    return theirs === undefined ? undefined : at(theirs)
  }
  const caller = ours.find(({ path }) => !path!.startsWith(SIM_PATH))
  return nearest === caller || caller === undefined ? at(nearest) : `${at(nearest)}, called from ${at(caller)}`
}

function functionsOf(holder: object): string[] {
  return Object.getOwnPropertyNames(holder).filter(name => {
    const { value } = Object.getOwnPropertyDescriptor(holder, name)!
    return typeof value === 'function' && name !== 'constructor'
  })
}

/** Calls back for every rejection that nobody handles, instead of ending the process. Returns the way to stop. */
export function watchRejections(onRejection: (error: unknown) => void): () => void {
  process.on('unhandledRejection', onRejection)
  return () => process.off('unhandledRejection', onRejection)
}
