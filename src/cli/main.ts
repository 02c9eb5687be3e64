/** The command in its real process: the one place that builds `Io` and `Parts`. */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { keepAlive } from '../runtime.ts'
import { commands } from './catalogue.ts'
import type { Io } from './io.ts'
import type { Parts } from './parts.ts'
import { run } from './program.ts'

/** Run from source by Node itself (`.ts`) or built (`.js`, one folder deeper). */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const BIN = fileURLToPath(new URL(`../../bin/coterie${EXTENSION}`, import.meta.url))
const PACKAGE = new URL(EXTENSION === '.ts' ? '../../package.json' : '../../../package.json', import.meta.url)

/** Loaded when a command needs them: help must not wait for libp2p. */
const parts: Parts = {
  createNode: async options => (await import('../node.ts')).createNode(options),
  connect: async options => (await import('../client/client.ts')).connect(options),
  createIdentity: async () => (await (await import('../wire/identity.ts')).createIdentity()).bytes,
  loadIdentity: async bytes => (await import('../wire/identity.ts')).loadIdentity(bytes),
  async inspect(path, { keys, verify }) {
    const { inspectFile } = await import('../storage/inspect.ts')
    const { formatInspection } = await import('../storage/inspection-text.ts')
    const { verifyRecord } = await import('./verify-record.ts')
    const { nodeFiles } = await import('../storage/disk/node-files.ts')
    const document = await inspectFile(nodeFiles, path, { keys, ...(verify ? { verify: verifyRecord } : {}) })
    return { document, text: formatInspection(document) }
  },
  async simulator() {
    const [{ runPlan, runSeed }, { checkPlan }, { shrink }, { planSummary }, { tellStory }] = await Promise.all([
      import('../sim/run.ts'),
      import('../sim/plan/check-plan.ts'),
      import('../sim/plan/shrink.ts'),
      import('../sim/plan/plan-summary.ts'),
      import('../sim/story.ts')
    ])
    return { runSeed, runPlan, shrink, checkPlan, planSummary, tellStory }
  },
  version: async () => JSON.parse(await readFile(PACKAGE, 'utf8')).version
}

/** Runs the command line of this process, and ends it. */
export async function main(): Promise<void> {
  for (const output of [process.stdout, process.stderr]) {
    output.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has seen enough (`coterie keys | head`).
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  // Timers alone keep no process alive, and a client may have nothing else while it waits to ask again.
  keepAlive()
  const code = await run(process.argv.slice(2), processIo(), parts, commands)
  // Not process.exitCode: a socket that lingers must not keep a finished command alive.
  await flushed(process.stdout)
  await flushed(process.stderr)
  process.exit(code)
}

function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    home: homedir() || undefined,
    command: [process.execPath, BIN],
    onSignal(listener) {
      const signals = ['SIGINT', 'SIGTERM'] as const
      for (const signal of signals) process.on(signal, listener)
      return () => {
        for (const signal of signals) process.off(signal, listener)
      }
    },
    exitNow: code => process.exit(code)
  }
}

function flushed(output: NodeJS.WriteStream): Promise<void> {
  return new Promise(resolve => {
    output.write('', () => resolve())
  })
}
