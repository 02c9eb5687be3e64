/** Runs a node in the foreground until a signal or a fatal error: what `node` and `join` share. */
import { stat } from 'node:fs/promises'
import { DEFAULT_LISTEN } from '../config.ts'
import {
  type DirectoryConfig,
  layout,
  lockDirectory,
  makeDirectory,
  readConfig,
  readIdentity,
  readSecret,
  updateConfig,
  writeIdentity,
  writeSecret
} from '../directory.ts'
import { CoterieError, isCoterieError } from '../errors.ts'
import { formatSecret, type Secret } from '../invite.ts'
import { type LogLevel, lineLog, systemTimers } from '../runtime.ts'
import { withPeer } from './addresses.ts'
import { type Arguments, type Flags, usage } from './args.ts'
import type { Call } from './command.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { widthOf, writeLine } from './io.ts'
import type { NodeOptions, RunningNode, TransferInfo } from './parts.ts'
import { styleOf } from './render/style.ts'
import { progressLine } from './render/transfers.ts'
import { type StatusLine, statusLine } from './status-line.ts'
import { DIR_FLAG, readSecretFile } from './target.ts'
import * as values from './values.ts'

const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'silent'] as const
const MAX_AFTER_S = 30 * 24 * 3600
/** Often enough to look alive, rarely enough to cost nothing. */
const PROGRESS_INTERVAL_MS = 500

export const NODE_FLAGS: Flags = {
  ...DIR_FLAG,
  listen: { type: 'string', multiple: true, value: 'MULTIADDR', env: true, help: `default ${DEFAULT_LISTEN}` },
  announce: { type: 'string', multiple: true, value: 'MULTIADDR', env: true, help: 'where others reach this node' },
  seed: { type: 'string', multiple: true, value: 'MULTIADDR', env: true, help: 'a member to start from' },
  'secret-file': { type: 'string', value: 'F', env: true, help: "the cluster's secret; default D/secret" },
  zone: { type: 'string', value: 'Z', env: true, help: 'copies are spread over zones' },
  capacity: { type: 'string', value: 'X', env: true, help: 'relative share of the ranges; default 1' },
  'no-mdns': { type: 'boolean', env: true, help: 'do not look for members on the local network' },
  durability: { type: 'string', value: 'os|interval|disk', env: true, help: 'when a write counts; default interval' },
  'reclaim-after': {
    type: 'string',
    value: 's',
    env: true,
    help: 'when a silent member counts as dead; default 600 seconds, 0 never'
  },
  'balance-after': {
    type: 'string',
    value: 's',
    env: true,
    help: 'how long a node must be hot before it swaps a range; default 60 seconds, 0 never'
  },
  'log-level': { type: 'string', value: 'L', env: true, help: `${LOG_LEVELS.join(', ')}; default info` },
  'stop-with-stdin': { type: 'boolean', help: 'stop when standard input ends (for a parent process)' }
}

/** Throws `refused` when the directory belongs to another cluster than this secret. */
async function checkSameCluster(dir: string, secret: Secret): Promise<void> {
  const present = await readSecret(dir)
  if (!present || formatSecret(present) === formatSecret(secret)) return
  throw new CoterieError(
    'refused',
    present.clusterId === secret.clusterId
      ? `${dir} holds another secret of the same cluster; nothing was changed: take an invite made with that secret`
      : `${dir} belongs to cluster ${present.clusterId}, not ${secret.clusterId}; nothing was changed: give another --dir`
  )
}

/** Under the lock, what a first start saves: secret, seeds and an identity. */
export async function prepareDirectory(
  { given, parts }: Call,
  dir: string,
  carried: { secret: Secret; seeds: string[]; keep: Partial<DirectoryConfig> } | undefined
): Promise<void> {
  const file = given.text('secret-file')
  const secret =
    carried?.secret ?? (file === undefined ? undefined : await readSecretFile(given.origin('secret-file'), file))
  if (!secret && !(await readSecret(dir))) {
    throw usage(
      `${dir} belongs to no cluster yet: coterie init --dir ${dir} makes a new one, coterie join INVITE --dir ${dir} ` +
        'joins one, or give --seed MULTIADDR with --secret-file F'
    )
  }
  // Before the lock as well: on a directory in use, the wrong cluster is the better thing to tell.
  if (secret) await checkSameCluster(dir, secret)
  await makeDirectory(dir)
  const lock = await lockDirectory(dir)
  try {
    const config = await readConfig(dir)
    const isNew = !(await readIdentity(dir))
    if (isNew && config.peerId !== undefined) throw lostKey(dir, config.peerId)
    if (secret) {
      await checkSameCluster(dir, secret)
      await writeSecret(dir, secret)
    }
    if (carried && !config.founder) {
      await updateConfig(dir, { ...carried.keep, seeds: [...new Set([...(config.seeds ?? []), ...carried.seeds])] })
    }
    if (isNew) await writeIdentity(dir, await parts.createIdentity())
  } finally {
    await lock.release()
  }
}

/** A new key would make another node of it, which is not what this directory's copies and configuration are about. */
const lostKey = (dir: string, peerId: string) =>
  new CoterieError(
    'refused',
    `${dir} belongs to ${peerId}, and its key is not there (${layout(dir).identity}); nothing was changed: put the key back, ` +
      'or make another node (coterie join INVITE --dir OTHER)'
  )

/** Flag, then environment, then config.json. Throws `bad-usage` and `bad-config`; changes nothing. */
export async function nodeOptions(given: Arguments, dir: string): Promise<NodeOptions & { logLevel: LogLevel }> {
  const config = await readConfig(dir)
  const fromConfig = (name: 'listen' | 'announce' | 'seeds') =>
    config[name]?.map(text => values.address(`"${name}" in ${layout(dir).config}`, text))
  const secret = await readSecret(dir)
  const mdns = given.on('no-mdns') ? false : (config.mdns ?? true)
  const seeds = values.addresses(given, 'seed') ?? fromConfig('seeds') ?? []
  const zone = given.text('zone') ?? config.zone
  const capacity = values.optional(given, 'capacity', values.capacity) ?? config.capacity
  const durability =
    values.optional(given, 'durability', (name, text) =>
      values.oneOf(name, text, ['os', 'interval', 'disk'] as const)
    ) ?? config.durability
  const reclaimAfter =
    values.optional(given, 'reclaim-after', (name, text) => values.wholeNumber(name, text, 0, MAX_AFTER_S)) ??
    config.reclaimAfter
  const balanceAfter =
    values.optional(given, 'balance-after', (name, text) => values.wholeNumber(name, text, 0, MAX_AFTER_S)) ??
    config.balanceAfter
  const settings = {
    ...(reclaimAfter !== undefined && { reclaimAfterMs: 1000 * reclaimAfter }),
    ...(balanceAfter !== undefined && { balanceAfterMs: 1000 * balanceAfter })
  }
  const announce = values.addresses(given, 'announce') ?? fromConfig('announce')
  return {
    dir,
    seeds,
    ...(secret && { secret: formatSecret(secret) }),
    listen: values.addresses(given, 'listen') ?? fromConfig('listen') ?? [DEFAULT_LISTEN],
    ...(announce && { announce }),
    mdns,
    ...(zone !== undefined && { zone }),
    ...(capacity !== undefined && { capacity }),
    ...(durability !== undefined && { durability }),
    settings,
    logLevel:
      values.optional(given, 'log-level', (name, text) => values.oneOf(name, text, LOG_LEVELS)) ??
      (config.logLevel as LogLevel | undefined) ??
      'info'
  }
}

/** The founder, or a node that was admitted once and so keeps an address book. */
async function knowsOthers(dir: string): Promise<boolean> {
  const config = await readConfig(dir)
  if (config.founder || config.cluster) return true
  return (await stat(layout(dir).peers).catch(() => undefined)) !== undefined
}

export async function runNode(call: Call, dir: string): Promise<number> {
  const { given, io, parts } = call
  const { logLevel, ...options } = await nodeOptions(given, dir)
  const status = statusLine(io.stderr)
  if (options.seeds?.length === 0 && !(await knowsOthers(dir))) {
    if (!options.mdns) {
      throw usage(
        'this node knows no other member of its cluster and does not look for one: give --seed /ip4/HOST/tcp/PORT, ' +
          `join with an invite (coterie join INVITE --dir ${dir}), or leave out --no-mdns`
      )
    }
    status.print('no seed is known: waiting until a member of the cluster is found on the local network (mDNS)')
  }
  const stop = stopRequest(call, status)
  let node: RunningNode | undefined
  try {
    node = await parts.createNode({ ...options, log: lineLog(logLevel, line => status.print(line)) })
    const fatal = new Promise<CoterieError>(resolve => node!.onFatal(resolve))
    const left = new Promise<'left'>(resolve => node!.onLeft(() => resolve('left')))
    const first = await Promise.race([node.ready().then(() => undefined), stop.asked, fatal])
    if (first === undefined) await announceReady(call, node)
    const end = first ?? (await serve(call, node, status, Promise.race([stop.asked, fatal, left])))
    if (!isCoterieError(end)) return EXIT.done
    status.print(`coterie: ${end.message}`)
    return exitCodeOf(end.code)
  } finally {
    status.show('')
    await node?.close()
    stop.forget()
  }
}

async function announceReady({ io }: Call, node: RunningNode): Promise<void> {
  const addresses = node.addresses().map(one => withPeer(one, node.peerId))
  await writeLine(io.stdout, `coterie ready ${node.peerId} ${addresses[0] ?? '-'}`)
}

/** Until `end`; meanwhile, on a terminal, a progress bar while ranges arrive. */
async function serve<T>({ io }: Call, node: RunningNode, status: StatusLine, end: Promise<T>): Promise<T> {
  const over = new AbortController()
  const watch = async () => {
    const style = styleOf(io.stderr, io.env)
    while (!over.signal.aborted) {
      const transfers = await node.info('transfers').then(
        all => all as TransferInfo[],
        // The bar is a courtesy: a question that fails costs one picture of it.
        () => []
      )
      status.show(transfers.length > 0 ? progressLine(transfers, widthOf(io.stderr) - 1, style) : '')
      await systemTimers.sleep(PROGRESS_INTERVAL_MS, over.signal)
    }
  }
  // Its sleep ends by the abort below.
  const watching = io.stderr.isTTY ? watch().catch(() => {}) : Promise.resolve()
  try {
    return await end
  } finally {
    over.abort()
    await watching
  }
}

/** First signal: stop cleanly. Second: at once. */
function stopRequest({ given, io }: Call, status: StatusLine) {
  let times = 0
  let resolve: (word: 'stop') => void
  const asked = new Promise<'stop'>(done => {
    resolve = done
  })
  const onSignal = (name: string) => {
    times++
    if (times > 1) return io.exitNow(EXIT.unexpected)
    status.print(`${name}: finishing what is in flight; once more to stop at once`)
    resolve('stop')
  }
  const forget = io.onSignal(onSignal)
  if (given.on('stop-with-stdin')) {
    io.stdin.once('end', () => times === 0 && onSignal('standard input ended'))
    io.stdin.once('error', () => times === 0 && onSignal('standard input broke'))
    io.stdin.resume()
  }
  return { asked, forget }
}
