/** Makes the first node's directory: identity, cluster id, secret, parameters. For `init` and `demo`. */
import { type ClusterParams, checkClusterParams } from '../config.ts'
import { createDirectory, type DirectoryConfig, layout } from '../directory.ts'
import { encodeInvite, SECRET_BYTES } from '../invite.ts'
import { systemRandom } from '../runtime.ts'
import { localHosts, plausibleAddresses } from './addresses.ts'
import type { Parts } from './parts.ts'

const CLUSTER_ID_BYTES = 16

export interface NewCluster {
  dir: string
  peerId: string
  clusterId: string
  invite: string
  secretFile: string
}

export interface ClusterWishes extends Omit<ClusterParams, 'clusterId'> {
  /** No secret: whoever reaches a node is let in. */
  open: boolean
  listen?: string[]
  announce?: string[]
}

/** Throws `bad-config` for parameters out of bounds, `bad-usage` for a directory that is taken; nothing is changed then. */
export async function createCluster(
  dir: string,
  { open, listen, announce, ...params }: ClusterWishes,
  parts: Pick<Parts, 'createIdentity' | 'loadIdentity'>
): Promise<NewCluster & { addresses: string[] }> {
  const clusterId = Buffer.from(systemRandom.bytes(CLUSTER_ID_BYTES)).toString('hex')
  const cluster = checkClusterParams({ clusterId, ...params })
  const secret = open ? { clusterId } : { clusterId, secret: systemRandom.bytes(SECRET_BYTES) }
  const identity = await parts.createIdentity()
  const { peerId } = await parts.loadIdentity(identity)
  // Whose directory it is, from the start: a copy of it without the key must not found the cluster once more.
  const config: DirectoryConfig = {
    cluster,
    founder: true,
    peerId,
    ...(listen && { listen }),
    ...(announce && { announce })
  }
  await createDirectory(dir, { identity, secret, config })
  const addresses = plausibleAddresses(config, peerId, localHosts())
  const invite = encodeInvite({ ...secret, name: cluster.name, addresses })
  return { dir, peerId, clusterId, invite, secretFile: layout(dir).secret, addresses }
}
