/** Which cluster a command talks to: `--connect`, or the node that runs in `--dir`. */
import { readFile, stat } from 'node:fs/promises'
import { readNodeFile, readSecret } from '../directory.ts'
import { CoterieError } from '../errors.ts'
import { decodeInvite, formatSecret, parseSecret } from '../invite.ts'
import { type Arguments, type Flags, usage } from './args.ts'
import type { Call } from './command.ts'
import type { Client, ConnectOptions } from './parts.ts'
import * as values from './values.ts'

export const DEFAULT_DIR = './coterie-data'

export const DIR_FLAG: Flags = {
  dir: { type: 'string', value: 'D', env: true, help: `the data directory; default ${DEFAULT_DIR}` }
}
export const TARGET_FLAGS: Flags = {
  connect: { type: 'string', value: 'MULTIADDR', env: true, help: 'a node to talk to (or an invite)' },
  'secret-file': { type: 'string', value: 'F', env: true, help: "the cluster's secret, for --connect" },
  dir: { type: 'string', value: 'D', env: true, help: `talk to the node that runs there; default ${DEFAULT_DIR}` }
}
export const JSON_FLAG: Flags = { json: { type: 'boolean', help: 'print one JSON document' } }
export const TIMEOUT_FLAG: Flags = { timeout: { type: 'string', value: 'ms', help: 'how long to wait' } }

export const dirOf = (given: Arguments): string => given.text('dir') ?? DEFAULT_DIR

/** Runs `use` on a client of the target, and closes it whatever happens. */
export async function withClient<T>(call: Call, use: (client: Client) => Promise<T>): Promise<T> {
  const client = await call.parts.connect(await targetOptions(call))
  try {
    return await use(client)
  } finally {
    await client.close()
  }
}

/** Throws `bad-usage` for a target that cannot be, `unreachable` when no node runs in the directory. */
export async function targetOptions({ given }: Call): Promise<ConnectOptions> {
  const timeoutMs = values.optional(given, 'timeout', values.timeoutMs)
  const extra = timeoutMs === undefined ? {} : { timeoutMs }
  const connect = given.text('connect')
  // --dir typed on the command line beats COTERIE_CONNECT.
  if (connect === undefined || (given.typed('dir') && !given.typed('connect'))) {
    return { ...(await runningNode(dirOf(given))), ...extra }
  }
  if (connect.startsWith('coterie')) {
    decodeInvite(connect)
    return { invite: connect, ...extra }
  }
  return { seeds: [values.address(given.origin('connect'), connect)], secret: await connectSecret(given), ...extra }
}

async function runningNode(dir: string): Promise<ConnectOptions> {
  const there = await stat(dir).catch(() => undefined)
  if (!there?.isDirectory()) {
    throw usage(`there is no data directory ${dir}: give --dir D of a running node, or --connect MULTIADDR`)
  }
  const node = await readNodeFile(dir)
  const secret = await readSecret(dir)
  if (!node || !secret) {
    throw new CoterieError(
      'unreachable',
      `no node runs in ${dir}: start it with coterie node --dir ${dir}, or give --connect MULTIADDR of another one`
    )
  }
  // It runs on this machine: its loopback address, the last one, works whatever became of the network.
  return { seeds: node.addresses.toReversed(), secret: formatSecret(secret) }
}

async function connectSecret(given: Arguments): Promise<string> {
  const file = given.text('secret-file')
  if (file !== undefined) return formatSecret(await readSecretFile(given.origin('secret-file'), file))
  const secret = await readSecret(dirOf(given))
  if (secret) return formatSecret(secret)
  throw usage('--connect needs --secret-file F: the file "secret" in the data directory of any node of the cluster')
}

/** Throws `bad-usage` when it cannot be read, `bad-config` when it is no secret. */
export async function readSecretFile(name: string, file: string) {
  let line: string
  try {
    line = await readFile(file, 'utf8')
  } catch (error) {
    throw new CoterieError('bad-usage', `${name} ${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  return parseSecret(line, file)
}
