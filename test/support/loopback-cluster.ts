/** Real nodes of one cluster in this process, on loopback TCP and in temporary directories. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClusterParams, NodeSettings } from '../../src/config.ts'
import { createDirectory } from '../../src/directory.ts'
import { formatSecret } from '../../src/invite.ts'
import { type CoterieNode, createNode } from '../../src/node.ts'
import { createIdentity } from '../../src/wire/identity.ts'
import { until } from './until.ts'

export const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

/** Quick rounds, so that tests take seconds. */
export const QUICK: Partial<NodeSettings> = {
  gossipIntervalMs: 100,
  reconcileIntervalMs: 100,
  antiEntropyIntervalMs: 1000,
  leaseMs: 5000
}

export class LoopbackCluster {
  readonly params: ClusterParams = { clusterId: 'ab'.repeat(16), name: 'loopback', q: 32, n: 3, r: 2, w: 2 }
  readonly secret = formatSecret({ clusterId: this.params.clusterId, secret: new Uint8Array(32).fill(9) })
  readonly nodes: CoterieNode[] = []
  #root = ''

  /** Starts `count` nodes; resolves when each owns its share. */
  async start(count: number): Promise<void> {
    this.#root = await mkdtemp(join(tmpdir(), 'coterie-loopback-'))
    const { bytes } = await createIdentity()
    const secret = { clusterId: this.params.clusterId, secret: new Uint8Array(32).fill(9) }
    await createDirectory(this.dir(0), { identity: bytes, secret, config: { cluster: this.params, founder: true } })
    for (let i = 0; i < count; i++) {
      const seeds = this.nodes.flatMap(node => node.addresses())
      const options = { dir: this.dir(i), secret: this.secret, seeds, listen: [LOOPBACK], mdns: false, settings: QUICK }
      const node = await createNode(options)
      this.nodes.push(node)
      await node.ready()
    }
    await this.settled()
  }

  dir(i: number): string {
    return join(this.#root, `n${i}`)
  }

  addresses(): string[] {
    return this.nodes.flatMap(node => node.addresses())
  }

  /** All that are asked see the same ring, in which everyone owns a share, and none of their copies is on the move. */
  async settled(asked: Pick<CoterieNode, 'info' | 'peerId'>[] = this.nodes): Promise<void> {
    await until('the cluster settles', async () => {
      const rings = new Set<string>()
      for (const { info, peerId } of asked.map(node => ({ info: node.info.bind(node), peerId: node.peerId }))) {
        const { owners } = (await info('ring')) as { owners: { owner: string }[] }
        const stats = (await info('stats')) as Record<string, number>
        rings.add(owners.map(({ owner }) => owner).join())
        if (stats.copiesSyncing + stats.copiesFrozen + stats.rangesAskedFor > 0) return false
        if (owners.filter(({ owner }) => owner === peerId).length < this.params.q / asked.length - 2) return false
      }
      return rings.size === 1
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.close()))
    await rm(this.#root, { recursive: true, force: true })
  }
}
