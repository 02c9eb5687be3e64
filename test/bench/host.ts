/** A libp2p host with the settings of `wire/host.ts` and nothing of coterie on it. */
import { createLibp2p } from 'libp2p'
import { hostConfig } from '../../src/wire/host.ts'
import { createIdentity } from '../../src/wire/identity.ts'

const CLUSTER = '0'.repeat(32)

export async function bareHost(listen: string[]) {
  const { privateKey } = await createIdentity()
  return createLibp2p(hostConfig({ privateKey, listen, clusterId: CLUSTER }))
}
