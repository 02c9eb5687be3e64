/** Real node processes on loopback, in temporary directories: started, killed and cleaned up by their own pids. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CoterieClient, connect } from '../../src/client/client.ts'

export const BIN = join(import.meta.dirname, '..', '..', 'bin', 'coterie.ts')
const READY_MS = 30_000
const STOP_MS = 15_000

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs the command to its end. */
export function coterie(
  args: string[],
  {
    input = '',
    env = {},
    timeoutMs = 30_000
  }: { input?: string; env?: Record<string, string>; timeoutMs?: number } = {}
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env }
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => (stdout += chunk))
    child.stderr.on('data', chunk => (stderr += chunk))
    child.stdin.on('error', () => {}) // It may end without reading its input.
    child.stdin.end(input)
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`coterie ${args.join(' ')} did not end within ${timeoutMs} ms\n${stdout}\n${stderr}`))
    }, timeoutMs)
    child.on('close', code => {
      clearTimeout(limit)
      resolve({ code, stdout, stderr })
    })
  })
}

export class NodeProcess {
  readonly dir: string
  readonly #args: string[]
  #child: ChildProcess | undefined
  peerId = ''
  address = ''

  constructor(dir: string, args: string[]) {
    this.dir = dir
    this.#args = args
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get log(): string {
    return readFileSync(`${this.dir}.log`, 'utf8')
  }

  /** Starts the process and waits for its `coterie ready` line. */
  async start(extra: string[] = []): Promise<this> {
    const log = openSync(`${this.dir}.log`, 'a')
    const child = spawn(
      process.execPath,
      [BIN, 'node', '--dir', this.dir, '--no-mdns', '--log-level', 'debug', ...this.#args, ...extra],
      { stdio: ['ignore', 'pipe', log] }
    )
    closeSync(log)
    this.#child = child
    let stdout = ''
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(
        () => reject(new Error(`${this.dir} is not ready within ${READY_MS} ms\n${this.log}`)),
        READY_MS
      )
      child.stdout!.on('data', chunk => {
        stdout += chunk
        const ready = /^coterie ready (\S+) (\S+)$/m.exec(stdout)
        if (ready === null) return
        clearTimeout(limit)
        ;[, this.peerId, this.address] = ready as unknown as [string, string, string]
        resolve()
      })
      child.once('exit', code => {
        clearTimeout(limit)
        reject(new Error(`${this.dir} ended with ${code}\n${this.log}`))
      })
    })
    return this
  }

  /** Waits until the process has ended by itself. Returns its exit code. */
  async ended(limitMs: number): Promise<number | null> {
    const child = this.#child!
    if (child.exitCode !== null) return child.exitCode
    return new Promise((resolve, reject) => {
      const limit = setTimeout(
        () => reject(new Error(`${this.dir} still runs after ${limitMs} ms\n${this.log}`)),
        limitMs
      )
      child.once('exit', code => {
        clearTimeout(limit)
        resolve(code)
      })
    })
  }

  /** Sends the signal and waits until the process is gone. Returns its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    const gone = new Promise<number | null>(resolve => child.once('exit', resolve))
    child.kill(signal)
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    const code = await gone
    clearTimeout(limit)
    return code
  }
}

export class ProcessCluster {
  readonly root = mkdtempSync(join(tmpdir(), 'coterie-test-'))
  readonly nodes: NodeProcess[] = []
  readonly #clients: CoterieClient[] = []
  readonly #initArgs: string[]
  secretFile = ''
  secret = ''

  constructor(initArgs: string[] = []) {
    this.#initArgs = initArgs
  }

  /** Makes the cluster with its first node, or adds one that has the first ones as seeds. */
  async add(args: string[] = []): Promise<NodeProcess> {
    const dir = join(this.root, `n${this.nodes.length}`)
    const listen = ['--listen', '/ip4/127.0.0.1/tcp/0']
    if (this.nodes.length === 0) {
      const made = await coterie(['init', '--dir', dir, '--json', ...this.#initArgs])
      if (made.code !== 0) throw new Error(made.stderr)
      this.secretFile = (JSON.parse(made.stdout) as { secretFile: string }).secretFile
      this.secret = readFileSync(this.secretFile, 'utf8').trim()
    }
    const seeds = this.nodes
      .filter(({ address }) => address !== '')
      .slice(0, 2)
      .flatMap(({ address }) => ['--seed', address])
    const node = new NodeProcess(dir, [
      ...listen,
      ...(seeds.length > 0 ? [...seeds, '--secret-file', this.secretFile] : []),
      ...args
    ])
    this.nodes.push(node)
    return node.start()
  }

  async addMany(count: number, args: string[] = []): Promise<void> {
    await this.add(args)
    // Each in turn by name, all at once in time.
    const starts: Promise<unknown>[] = []
    for (let i = 1; i < count; i++) starts.push(this.add(args))
    await Promise.all(starts)
  }

  /** A client that knows one node to begin with; with `route: false`, it asks no other one. */
  async client(node = this.nodes[0], { timeoutMs = 5000, route = true } = {}): Promise<CoterieClient> {
    const client = await connect({ seeds: [node.address], secret: this.secret, timeoutMs, route })
    this.#clients.push(client)
    return client
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map(client => client.close()))
    await Promise.all(this.nodes.map(node => node.stop()))
    if (process.env.COTERIE_TEST_KEEP === undefined) rmSync(this.root, { recursive: true, force: true })
    else console.log(`kept ${this.root}`)
  }
}
