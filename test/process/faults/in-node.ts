/**
 * Loaded into node processes before anything else (NODE_OPTIONS=--import): repairs more often than a node's command can
 * be told to, and on SIGUSR2 says to standard error how late its event loop has been since the last time.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
import { DEFAULT_SETTINGS } from '../../../src/config.ts'

const ANTI_ENTROPY_MS = 2000

if (isMainThread) {
  DEFAULT_SETTINGS.antiEntropyIntervalMs = ANTI_ENTROPY_MS
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  process.on('SIGUSR2', () => {
    process.stderr.write(`event loop delay ${(delay.max / 1e6).toFixed(1)} ms at most\n`)
    delay.reset()
  })
}
