/** Node processes that a parent starts, waits for, and stops: for `demo`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { CoterieError } from '../errors.ts'
import { systemTimers } from '../runtime.ts'

/** A cold start with a busy disk; beyond that something is wrong. */
const READY_TIMEOUT_MS = 30_000
/** Finishing requests and syncing; beyond that the process is killed. */
const STOP_TIMEOUT_MS = 10_000
/** Of a child's standard error, for the message when it fails. */
const KEPT_LINES = 20

export interface ChildNode {
  pid: number
  peerId: string
  address: string
  /** Resolves when it has ended. Safe to call again. */
  stop(): Promise<void>
}

/**
 * Starts `command args` and resolves with the first line `coterie ready PEERID MULTIADDR`. Throws `not-available`, with
 * the child's last words, when it ends or stays silent. The child ends by itself when this process does.
 */
export async function startChild(
  command: string[],
  args: string[],
  env: Record<string, string | undefined>,
  signal: AbortSignal
): Promise<ChildNode> {
  const [program, ...first] = command
  // Detached: a Ctrl-C at the terminal is for the REPL, and would reach the children as well.
  const child = spawn(program!, [...first, ...args, '--stop-with-stdin'], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true
  })
  const ended = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const lastWords: string[] = []
  createInterface({ input: child.stderr! }).on('line', line => {
    lastWords.push(line)
    if (lastWords.length > KEPT_LINES) lastWords.shift()
  })
  // A child that ends breaks its pipe; `ended` tells.
  child.stdin!.on('error', () => {})
  const stop = () => stopChild(child, ended)
  try {
    const [peerId, address] = await readyLine(child, ended, signal)
    return { pid: child.pid!, peerId, address, stop }
  } catch (error) {
    await stop()
    if (signal.aborted) throw error
    const words = lastWords.length > 0 ? `:\n${lastWords.join('\n')}` : ''
    throw new CoterieError('not-available', `a node did not start (${(error as Error).message})${words}`, {
      cause: error
    })
  }
}

function readyLine(child: ChildProcess, ended: Promise<void>, signal: AbortSignal): Promise<[string, string]> {
  return new Promise((resolve, reject) => {
    const waiting = systemTimers.after(READY_TIMEOUT_MS, () => reject(new Error(`no answer in ${READY_TIMEOUT_MS} ms`)))
    const give = (error: Error) => {
      waiting.cancel()
      reject(error)
    }
    signal.addEventListener('abort', () => give(signal.reason), { once: true })
    if (signal.aborted) give(signal.reason)
    void ended.then(() => give(new Error(`it ended with code ${child.exitCode ?? child.signalCode ?? 'unknown'}`)))
    createInterface({ input: child.stdout! }).on('line', line => {
      const [, peerId, address] = /^coterie ready (\S+) (\S+)/.exec(line) ?? []
      if (!peerId || !address) return
      waiting.cancel()
      resolve([peerId, address])
    })
  })
}

async function stopChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  child.kill('SIGTERM')
  const late = systemTimers.after(STOP_TIMEOUT_MS, () => child.kill('SIGKILL'))
  await ended
  late.cancel()
}
