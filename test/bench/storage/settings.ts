/** What the environment says of a storage benchmark, and the scratch directory of one run of it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const RUNS = Number(process.env.RUNS ?? 3)
export const SECONDS = Number(process.env.SECONDS ?? 2)
export const KEYS = Number(process.env.KEYS ?? 1_000_000)
export const SIZES = (process.env.SIZES ?? '100,1024').split(',').map(Number)
/** How long the bad disk of the section `stall` hangs, in seconds. */
export const STALL_SECONDS = Number(process.env.STALL ?? 10)

/** Key counts of the sections `index` and `open`: KEYS bounds them. */
export const COUNTS = [1_000_000, 3_000_000, 10_000_000].filter(count => count <= KEYS)
if (COUNTS.length === 0) COUNTS.push(KEYS)

/** Removed when the process ends, however it ends by itself. */
export function scratchDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'coterie-bench-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  return dir
}
