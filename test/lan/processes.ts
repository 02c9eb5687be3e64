/** Processes on a host of the LAN: coterie commands to their end, and nodes that run until they are stopped. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'
import type { LanHost } from './lan.ts'

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'coterie.ts')
const RUN_TIMEOUT_MS = 30_000
const READY_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 10_000

export interface Outcome {
  code: number | null
  out: string
  err: string
}

export interface NodeProcess {
  peerId: string
  /** What it wrote to standard error so far. */
  log(): string
  /** SIGTERM; resolves with the exit code. Kills and throws when that takes too long. */
  stop(): Promise<number | null>
}

function start(host: LanHost, script: string, args: string[]) {
  const [program, ...before] = host.inside
  // COTERIE_… of whoever runs the tests must not reach these; nor what asks for colours, where lines are compared.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^COTERIE_|^FORCE_COLOR$/.test(name)))
  const child = spawn(program!, [...before, process.execPath, script, ...args], { env: { ...env, NO_COLOR: '1' } })
  const texts = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', chunk => (texts.out += chunk))
  child.stderr.setEncoding('utf8').on('data', chunk => (texts.err += chunk))
  // A child that ends breaks its pipe; its exit code tells.
  child.stdin.on('error', () => {})
  return { child, texts }
}

/** Resolves with what `promise` gives; kills the child and rejects after `timeoutMs`. */
async function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  child: ChildProcessWithoutNullStreams,
  what: () => string
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`not within ${timeoutMs} ms: ${what()}`))
    }, timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** One coterie command, to its end. */
export function run(host: LanHost, args: string[], input = ''): Promise<Outcome> {
  return runScript(host, BIN, args, input)
}

/** Any script of ours, to its end. */
export async function runScript(host: LanHost, script: string, args: string[], input = ''): Promise<Outcome> {
  const { child, texts } = start(host, script, args)
  child.stdin.end(input)
  const what = () => `${[script, ...args].join(' ')}\n${texts.out}${texts.err}`
  const [code] = await within(once(child, 'close'), RUN_TIMEOUT_MS, child, what)
  return { code, ...texts }
}

/** `node` or `join`; resolves once it is ready to serve. It ends by itself when this process does. */
export async function startNode(host: LanHost, args: string[]): Promise<NodeProcess> {
  const { child, texts } = start(host, BIN, [...args, '--stop-with-stdin'])
  const closed = once(child, 'close')
  const words = () => `the ready line of coterie ${args.join(' ')}\n${texts.out}${texts.err}`
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const [, peerId] = /^coterie ready (\S+) \S+\n/m.exec(texts.out) ?? []
      if (peerId) resolve(peerId)
    })
    closed.then(([code]) => reject(new Error(`ended with code ${code}: ${words()}`)), reject)
  })
  const peerId = await within(ready, READY_TIMEOUT_MS, child, words)
  return {
    peerId,
    log: () => texts.err,
    async stop() {
      child.kill('SIGTERM')
      const [code] = await within(closed, STOP_TIMEOUT_MS, child, () => `the end of ${peerId}\n${texts.err}`)
      return code
    }
  }
}
