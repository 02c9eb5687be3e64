/** One node process on a host of its own. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { promisify } from 'node:util'
import { BIN } from '../support/processes.ts'

const READY_MS = 30_000
const STOP_MS = 15_000
const LEAVE_MS = 240_000

/** What the parent, which made the hosts, tells of each. */
export interface HostInit {
  address: string
  inside: string[]
}

export class ChaosNode {
  readonly name: string
  readonly host: HostInit
  readonly dir: string
  peerId = ''
  #child: ChildProcess | undefined
  #args: string[] = []

  constructor(name: string, host: HostInit, dir: string) {
    this.name = name
    this.host = host
    this.dir = dir
  }

  get address(): string {
    return `/ip4/${this.host.address}/tcp/4270`
  }

  get log(): string {
    return readFileSync(`${this.dir}.log`, 'utf8')
  }

  /** Starts it; resolves when it is ready. Without arguments: with those of before. */
  async start(args = this.#args): Promise<void> {
    this.#args = args
    const [program, ...before] = this.host.inside
    const log = openSync(`${this.dir}.log`, 'a')
    const command = [
      ...before,
      process.execPath,
      BIN,
      'node',
      '--dir',
      this.dir,
      '--no-mdns',
      '--stop-with-stdin',
      ...args
    ]
    const child = spawn(program!, command, { stdio: ['pipe', 'pipe', log] })
    closeSync(log)
    child.stdin!.on('error', () => {})
    this.#child = child
    let out = ''
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${this.name} is not ready\n${this.log.slice(-3000)}`)), READY_MS)
      child.once('exit', code => {
        clearTimeout(limit)
        reject(new Error(`${this.name} ended with ${code}\n${this.log.slice(-3000)}`))
      })
      child.stdout!.on('data', chunk => {
        out += chunk
        const ready = /^coterie ready (\S+) /m.exec(out)
        if (ready === null) return
        clearTimeout(limit)
        this.peerId = ready[1]!
        resolve()
      })
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Ends it, and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await gone
    clearTimeout(limit)
  }

  /** `coterie leave` on its host; resolves when that says that it has left, and its process has ended well. */
  async leave(): Promise<void> {
    const child = this.#child!
    const gone = once(child, 'exit')
    const [program, ...before] = this.host.inside
    const command = [...before, process.execPath, BIN, 'leave', '--dir', this.dir]
    await promisify(execFile)(program!, command, { timeout: LEAVE_MS })
    await gone
    this.#child = undefined
    if (child.exitCode !== 0) throw new Error(`${this.name} left, and ended with ${child.exitCode ?? child.signalCode}`)
  }

  /** Runs a program on its host; what it prints. */
  run(...args: string[]): string {
    const [program, ...before] = this.host.inside
    const { status, stdout, stderr, error } = spawnSync(program!, [...before, ...args], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${args.join(' ')} on ${this.name}: ${error?.message ?? stderr}`)
    return stdout
  }
}
