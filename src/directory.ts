/**
 * The data directory of a node: what lies in it, and who may use it.
 *
 *     config.json    this file's `DirectoryConfig`, for people and programs to edit
 *     identity.key   the libp2p private key (mode 0600)
 *     secret         cluster id and secret, one printable line (mode 0600)
 *     node.json      only while a node runs: `NodeFile`
 *     lock.N         who uses the directory; the highest N counts
 *     ranges/ …      the node's own (storage, address book, incarnation)
 *
 * Outside the core, hence on `node:fs` directly.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readdir, readFile, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kill, pid as ownPid } from 'node:process'
import { type ClusterParams, checkClusterParams, type Durability } from './config.ts'
import { CoterieError } from './errors.ts'
import { formatSecret, parseSecret, type Secret } from './invite.ts'

export interface DirectoryConfig {
  /** The cluster's fixed parameters: set by `init`, or adopted from the cluster at the first admission. */
  cluster?: ClusterParams
  /** True on the node that made the cluster: it may start with nobody else there. */
  founder?: boolean
  /** Multiaddrs to listen on, to announce, and of members to dial. */
  listen?: string[]
  announce?: string[]
  seeds?: string[]
  zone?: string
  capacity?: number
  durability?: Durability
  /** Seconds; 0: never. */
  reclaimAfter?: number
  /** Seconds; 0: never. */
  balanceAfter?: number
  mdns?: boolean
  logLevel?: string
  /** Whose directory this is, where the identity is a libp2p host's own: another one is refused. */
  peerId?: string
}

/** What `node.json` holds while a node runs. */
export interface NodeFile {
  peerId: string
  /** With `/p2p/…`. */
  addresses: string[]
  http: string | null
  pid: number
}

export const layout = (dir: string) => ({
  config: join(dir, 'config.json'),
  identity: join(dir, 'identity.key'),
  secret: join(dir, 'secret'),
  node: join(dir, 'node.json'),
  /** The address book, of `membership/`. */
  peers: join(dir, 'peers.json'),
  ranges: join(dir, 'ranges')
})

const PRIVATE_MODE = 0o600
const PUBLIC_MODE = 0o644

// ---- config.json

type Check = [takes: string, holds: (value: unknown) => boolean]
const strings: Check = [
  'a list of multiaddrs',
  value => Array.isArray(value) && value.every(item => typeof item === 'string')
]
const flag: Check = ['true or false', value => typeof value === 'boolean']
const seconds: Check = [
  'a number of seconds, 0 for never',
  value => typeof value === 'number' && Number.isFinite(value) && value >= 0
]
const FIELDS: Record<keyof DirectoryConfig, Check> = {
  cluster: [
    'an object { clusterId, name, q, n, r, w }',
    value => typeof value === 'object' && value !== null && typeof (value as ClusterParams).name === 'string'
  ],
  founder: flag,
  listen: strings,
  announce: strings,
  seeds: strings,
  zone: ['a text', value => typeof value === 'string'],
  capacity: ['a number above 0', value => typeof value === 'number' && Number.isFinite(value) && value > 0],
  reclaimAfter: seconds,
  balanceAfter: seconds,
  durability: ['"os", "interval" or "disk"', value => ['os', 'interval', 'disk'].includes(value as string)],
  mdns: flag,
  peerId: ['a peer id', value => typeof value === 'string'],
  logLevel: [
    '"error", "warn", "info", "debug" or "silent"',
    value => ['error', 'warn', 'info', 'debug', 'silent'].includes(value as string)
  ]
}

/** A parsed `config.json`. Throws `bad-config`, naming the field and what it takes. */
export function checkConfig(value: unknown, where = 'config.json'): DirectoryConfig {
  const wrong = (message: string) => new CoterieError('bad-config', `${where}: ${message}`)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('is not a JSON object')
  for (const [name, content] of Object.entries(value)) {
    if (!Object.hasOwn(FIELDS, name)) {
      throw wrong(`unknown field "${name}"; it takes ${Object.keys(FIELDS).join(', ')}`)
    }
    const [takes, holds] = FIELDS[name as keyof DirectoryConfig]
    if (!holds(content)) throw wrong(`"${name}" is ${JSON.stringify(content)}; it takes ${takes}`)
  }
  const config = value as DirectoryConfig
  if (config.cluster) checkClusterParams(config.cluster)
  return config
}

/** `{}` when there is no `config.json`. Throws `bad-config`. */
export async function readConfig(dir: string): Promise<DirectoryConfig> {
  const path = layout(dir).config
  const text = await readText(path)
  if (text === undefined) return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CoterieError('bad-config', `${path} is not JSON: ${(error as Error).message}`, { cause: error })
  }
  return checkConfig(value, path)
}

export async function writeConfig(dir: string, config: DirectoryConfig): Promise<void> {
  checkConfig(config)
  await replaceFile(dir, layout(dir).config, `${JSON.stringify(config, null, 2)}\n`, PUBLIC_MODE)
}

/** Reads, changes, writes: for what a running node learns (the parameters it adopts). */
export async function updateConfig(dir: string, change: Partial<DirectoryConfig>): Promise<DirectoryConfig> {
  const config = { ...(await readConfig(dir)), ...change }
  await writeConfig(dir, config)
  return config
}

// ---- identity, secret, node.json

/** Throws `bad-usage` when the directory already belongs to a node; changes nothing then. */
export async function createDirectory(
  dir: string,
  parts: { identity: Uint8Array; secret: Secret; config: DirectoryConfig }
): Promise<void> {
  checkConfig(parts.config)
  await makeDirectory(dir)
  const files = layout(dir)
  for (const path of [files.config, files.identity, files.secret, files.ranges]) {
    if (await exists(path)) {
      throw new CoterieError(
        'bad-usage',
        `${dir} already holds a node (${path} is there); nothing was changed: start it with coterie node --dir ${dir}, ` +
          'or give another --dir'
      )
    }
  }
  await writeIdentity(dir, parts.identity)
  await writeSecret(dir, parts.secret)
  // Last: a directory with a config.json is complete.
  await writeConfig(dir, parts.config)
}

export async function makeDirectory(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true })
  } catch (error) {
    throw new CoterieError('bad-config', `cannot make the data directory ${dir}: ${(error as Error).message}`, {
      cause: error
    })
  }
}

/** The private key's bytes, or undefined when there is none yet. */
export async function readIdentity(dir: string): Promise<Uint8Array | undefined> {
  return readBytes(layout(dir).identity)
}

export async function writeIdentity(dir: string, identity: Uint8Array): Promise<void> {
  await replaceFile(dir, layout(dir).identity, identity, PRIVATE_MODE)
}

/** Undefined when there is none. Throws `bad-config`. */
export async function readSecret(dir: string): Promise<Secret | undefined> {
  const path = layout(dir).secret
  const line = await readText(path)
  return line === undefined ? undefined : parseSecret(line, path)
}

export async function writeSecret(dir: string, secret: Secret): Promise<void> {
  await replaceFile(dir, layout(dir).secret, `${formatSecret(secret)}\n`, PRIVATE_MODE)
}

/** What a running node wrote; undefined when none runs: no file, or one that a killed node left behind. */
export async function readNodeFile(dir: string): Promise<NodeFile | undefined> {
  const path = layout(dir).node
  const text = await readText(path)
  if (text === undefined) return undefined
  try {
    const file = JSON.parse(text) as NodeFile
    if (typeof file.peerId !== 'string' || !Array.isArray(file.addresses)) throw new Error('fields are missing')
    return (await processMark(file.pid)) === undefined ? undefined : file
  } catch (error) {
    throw new CoterieError('bad-config', `${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

export async function writeNodeFile(dir: string, file: Omit<NodeFile, 'pid'> & { pid?: number }): Promise<void> {
  const { peerId, addresses, http, pid = ownPid } = file
  const content = { peerId, addresses, http, pid }
  await replaceFile(dir, layout(dir).node, `${JSON.stringify(content, null, 2)}\n`, PUBLIC_MODE)
}

export async function removeNodeFile(dir: string): Promise<void> {
  await rm(layout(dir).node, { force: true })
}

// ---- the lock

/**
 * Locks are numbered files, created whole and exclusively by link(2). The highest number counts, and is never deleted,
 * only emptied by its holder: so of several processes that find a dead holder's lock, exactly one makes the next number,
 * and one that looked too early finds a higher number than its own and backs off.
 */
export interface DirectoryLock {
  release(): Promise<void>
}

/** The locks of this process, by token: its own pid in a lock file proves nothing (containers reuse pids). */
const held = new Set<string>()
const LOCK_NAME = /^lock\.(\d+)$/
const TOKEN_BYTES = 8
const MAX_LOCK_TRIES = 50

/** Throws `directory-in-use`, naming the process that holds it. A lock whose process is gone is taken over. */
export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  const token = randomBytes(TOKEN_BYTES).toString('hex')
  const draft = join(dir, `lock.draft-${token}`)
  await writeFile(draft, JSON.stringify({ pid: ownPid, mark: await processMark(ownPid), token }), { flag: 'wx' })
  // From before the file can be seen, so that nobody in this process takes it for a dead one's.
  held.add(token)
  try {
    for (let attempt = 1; attempt <= MAX_LOCK_TRIES; attempt++) {
      const path = await tryLock(dir, draft)
      if (path) return { release: () => release(path, token) }
    }
    throw new CoterieError('directory-in-use', `${dir}: several processes fight for the lock; start one of them only`)
  } catch (error) {
    held.delete(token)
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function release(path: string, token: string): Promise<void> {
  if (!held.delete(token)) return
  await truncate(path, 0).catch(error => {
    // A directory that was removed meanwhile needs no release.
    if (error.code !== 'ENOENT') throw error
  })
}

async function tryLock(dir: string, draft: string): Promise<string | undefined> {
  const highest = Math.max(0, ...(await lockNumbers(dir)))
  const holder = highest > 0 ? await holderOf(join(dir, `lock.${highest}`)) : undefined
  if (holder !== undefined) {
    throw new CoterieError(
      'directory-in-use',
      `${dir} is in use by process ${holder}; stop that one, or give another --dir`
    )
  }
  const path = join(dir, `lock.${highest + 1}`)
  try {
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
  const numbers = await lockNumbers(dir)
  if (Math.max(...numbers) > highest + 1) {
    await unlink(path)
    return undefined
  }
  for (const number of numbers) if (number <= highest) await rm(join(dir, `lock.${number}`), { force: true })
  return path
}

async function lockNumbers(dir: string): Promise<number[]> {
  return (await readdir(dir)).flatMap(name => LOCK_NAME.exec(name)?.[1] ?? []).map(Number)
}

/** The pid of the living process that holds this lock file. */
async function holderOf(path: string): Promise<number | undefined> {
  const text = await readText(path)
  // Released, superseded in this moment, or emptied by a power cut.
  if (!text) return undefined
  let lock: { pid: number; mark?: string; token?: string }
  try {
    lock = JSON.parse(text)
  } catch {
    // Garbled by a power cut: a live holder's file is whole.
    return undefined
  }
  if (lock.pid === ownPid) return held.has(lock.token ?? '') ? ownPid : undefined
  const mark = await processMark(lock.pid)
  return mark !== undefined && (mark === '' || !lock.mark || mark === lock.mark) ? lock.pid : undefined
}

/** What tells this run of a pid from another: boot id and start time, '' where they are not known; undefined: no such process. */
async function processMark(pid: number): Promise<string | undefined> {
  try {
    kill(pid, 0)
  } catch (error) {
    // EPERM: it is there, but another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined
  }
  const stat = await readText(`/proc/${pid}/stat`).catch(() => undefined)
  if (stat === undefined) return ''
  // proc(5): the command name in brackets may hold anything; after it come state (field 3) … start time (field 22).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined
  const boot = await readText('/proc/sys/kernel/random/boot_id').catch(() => undefined)
  return `${boot?.trim()}/${fields[19]}`
}

// ---- files

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function readText(path: string): Promise<string | undefined> {
  const bytes = await readBytes(path)
  return bytes && Buffer.from(bytes).toString('utf8')
}

async function exists(path: string): Promise<boolean> {
  try {
    const handle = await open(path)
    await handle.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    // There, but not ours to open: that counts.
    return true
  }
}

/** Old content or new, whole, whatever happens in between. */
async function replaceFile(dir: string, path: string, content: string | Uint8Array, mode: number): Promise<void> {
  const draft = `${path}.draft-${ownPid}-${randomBytes(6).toString('hex')}`
  try {
    const handle = await open(draft, 'wx', mode)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  const directory = await open(dir)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
