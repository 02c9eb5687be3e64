/**
 * A node with its libp2p host included: what `coterie node` runs and what programs embed.
 *
 * @example
 *   const node = await createNode({ dir: './data', seeds: ['/ip4/10.0.0.7/tcp/4270'], secret })
 *   await node.ready()
 *   await node.put('cart:7', 'one apple')
 *   await node.close()
 */
import { createLibp2p } from 'libp2p'
import { DEFAULT_LISTEN, type NodeSettings } from './config.ts'
import { lockDirectory, makeDirectory, readConfig, readIdentity, readSecret, writeIdentity } from './directory.ts'
import { CoterieError } from './errors.ts'
import { parseSecret, type Secret } from './invite.ts'
import type { Log } from './ports.ts'
import { type CoterieService, coterie, type InfoTopic } from './service.ts'
import type { Store } from './store.ts'
import { explainListenError, hostConfig } from './wire/host.ts'
import { createIdentity, type Identity, loadIdentity } from './wire/identity.ts'

export interface NodeOptions {
  /** The data directory: of `coterie init`, or a fresh one, which joins the cluster of its `secret` and `seeds`. */
  dir: string
  /** Multiaddrs of members; default those kept in `dir`. */
  seeds?: string[]
  /** The line of the cluster's secret file; default the one kept in `dir`. */
  secret?: string
  /** Multiaddrs; default those kept in `dir`, else `/ip4/0.0.0.0/tcp/4270`. Port 0 picks a free one. */
  listen?: string[]
  /** Multiaddrs that others reach this node by, where those it listens on would not do. */
  announce?: string[]
  /** Find members on the local network; default true. */
  mdns?: boolean
  zone?: string
  capacity?: number
  durability?: NodeSettings['durability']
  settings?: Partial<NodeSettings>
  log?: Log
}

export interface CoterieNode extends Store {
  readonly peerId: string
  /** Multiaddrs that it listens on or announces. */
  addresses(): string[]
  /** Resolves once it can serve; rejects when the node is closed or cannot go on. */
  ready(): Promise<void>
  info(what: InfoTopic, key?: Uint8Array): Promise<unknown>
  onFatal(listener: (error: CoterieError) => void): void
  /** Gives everything that this node holds to the others, which may take a while. Throws `refused`; see `force`. */
  leave(options?: { /** Though fewer than N nodes would be left. */ force?: boolean }): Promise<void>
  /** It has left, and is to be closed. */
  onLeft(listener: () => void): void
}

/** Starts a node. Throws `address-in-use`, `directory-in-use`, `bad-config`, `refused`, and Node's errors for the files. */
export async function createNode(options: NodeOptions): Promise<CoterieNode> {
  const { dir, mdns = true } = options
  if (typeof dir !== 'string' || dir === '') {
    throw new CoterieError(
      'bad-usage',
      'createNode takes dir, the path of a data directory: createNode({ dir: "./data" })'
    )
  }
  const { identity, secret } = await prepare(options)
  const config = await readConfig(dir)
  const listen = options.listen ?? config.listen ?? [DEFAULT_LISTEN]
  const announce = options.announce ?? config.announce
  const host = await createLibp2p({
    ...hostConfig({
      privateKey: identity.privateKey,
      listen,
      announce,
      mdns,
      clusterId: secret.clusterId,
      services: { store: coterie({ ...options, exclusive: true }) }
    }),
    start: false
  })
  const store = host.services.store
  try {
    await host.start()
  } catch (error) {
    await stopBoth(host, store)
    throw explainListenError(error, listen)
  }
  return handle(host, store)
}

/** Identity and secret of the directory, made or kept now if it is fresh. */
async function prepare({ dir, secret: line }: NodeOptions): Promise<{ identity: Identity; secret: Secret }> {
  await makeDirectory(dir)
  const lock = await lockDirectory(dir)
  try {
    const secret = line === undefined ? await readSecret(dir) : parseSecret(line)
    if (secret === undefined) {
      throw new CoterieError(
        'bad-config',
        `${dir} belongs to no cluster yet and no secret was given; make a cluster with coterie init, or give the secret of one`
      )
    }
    const bytes = await readIdentity(dir)
    if (bytes !== undefined) return { identity: loadIdentity(bytes), secret }
    const identity = await createIdentity()
    await writeIdentity(dir, identity.bytes)
    return { identity, secret }
  } finally {
    await lock.release()
  }
}

type Host = { stop(): void | Promise<void> }

async function stopBoth(host: Host, store: CoterieService): Promise<void> {
  try {
    // The store first, while there is a network to finish what is in flight.
    await store.stop()
  } finally {
    await host.stop()
  }
}

function handle(host: Host, store: CoterieService): CoterieNode {
  return {
    peerId: store.peerId,
    addresses: () => store.addresses(),
    ready: () => store.ready(),
    info: (what, key) => store.info(what, key),
    onFatal: listener => store.onFatal(listener),
    leave: options => store.leave(options),
    onLeft: listener => store.onLeft(listener),
    get: (key, options) => store.get(key, options),
    put: (key, value, options) => store.put(key, value, options),
    delete: (key, options) => store.delete(key, options),
    update: (key, merge, options) => store.update(key, merge, options),
    keys: options => store.keys(options),
    close: () => stopBoth(host, store)
  }
}
