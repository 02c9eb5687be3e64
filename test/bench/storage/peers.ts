/**
 * The embedded stores that ours is measured beside: LevelDB (`classic-level`) and `lmdb`, pinned in `test/bench/peers`,
 * which is a package of its own so that nobody else has to install them. Installed on demand, by the benchmark.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const DIR = join(import.meta.dirname, '..', 'peers')
const PACKAGES = ['classic-level', 'lmdb']

/** Just what is used of `classic-level`. */
export interface Level {
  open(): Promise<void>
  put(key: string, value: Uint8Array, options: { sync: boolean }): Promise<void>
  get(key: string): Promise<Uint8Array | undefined>
  batch(puts: { type: 'put'; key: string; value: Uint8Array }[], options: { sync: boolean }): Promise<void>
  close(): Promise<void>
}

/** Just what is used of `lmdb`. */
export interface Lmdb {
  put(key: string, value: Uint8Array): Promise<boolean>
  getBinary(key: string): Uint8Array | undefined
  batch(action: () => void): Promise<boolean>
  /** Resolves when what was committed is on the disk. */
  flushed: Promise<unknown>
  close(): Promise<void>
}

/** Installs what is missing. Undefined when all is there; else why it is not, in one line. */
export function installPeers(): string | undefined {
  if (PACKAGES.every(name => existsSync(join(DIR, 'node_modules', name)))) return undefined
  console.error('installing classic-level and lmdb into test/bench/peers …')
  // The prebuilt binaries are in the packages themselves: no install script is needed.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { status, error, stderr } = spawnSync('npm', args, { cwd: DIR, encoding: 'utf8' })
  if (status === 0) return undefined
  const reason = error?.message ?? stderr.split('\n').find(line => line.trim() !== '') ?? `exit code ${status}`
  return `the peers could not be installed (npm ci in test/bench/peers: ${reason}); measured without them`
}

export async function openLevel(dir: string): Promise<Level> {
  const { ClassicLevel } = load<{ ClassicLevel: new (dir: string, options: object) => Level }>('classic-level')
  const db = new ClassicLevel(dir, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
  await db.open()
  return db
}

/** `noSync` is a property of the environment, not of a put. */
export function openLmdb(dir: string, noSync: boolean): Lmdb {
  const { open } = load<{ open: (options: object) => Lmdb }>('lmdb')
  return open({ path: dir, encoding: 'binary', mapSize: 2 ** 35, ...(noSync ? { noSync } : {}) })
}

function load<T>(name: string): T {
  return createRequire(join(DIR, 'package.json'))(name) as T
}
