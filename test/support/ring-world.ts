/** A node's view of a ring, a letter a range, and members that answer as a test says: what tests of movements begin with. */
import type { Peers } from '../../src/coordinator/peers.ts'
import { CoterieError } from '../../src/errors.ts'
import type { Answer, Request } from '../../src/messages.ts'
import { silentLog } from '../../src/runtime.ts'
import { Topology } from '../../src/topology.ts'
import { FakeFiles } from './fake-files.ts'
import { fakeSigner } from './fake-signer.ts'

export const CLUSTER_ID = 'c'.repeat(32)

/** Of node A unless told otherwise; `ring` such as `ABBDAEEE`, all at epoch 1. */
export async function ringTopology(
  ring: string,
  { self = 'A', n = 3, r = 2, w = 2, zoneOf = (_peerId: string): string => '' } = {}
): Promise<{ files: FakeFiles; topology: Topology }> {
  const files = new FakeFiles()
  await files.makeDir('d')
  const topology = new Topology(
    { files, signer: fakeSigner(self), log: silentLog },
    { dir: 'd', params: { clusterId: CLUSTER_ID, name: 't', q: ring.length, n, r, w }, zoneOf }
  )
  await topology.open()
  await topology.apply([...ring].map((owner, range) => ({ range, epoch: 1, owner })))
  return { files, topology }
}

/** Node A's calls: those that cannot be reached say so, the others answer at once. */
export function answeringPeers(
  isReachable: (peerId: string) => boolean,
  answer: (to: string, request: Request) => Answer | Promise<Answer>
): Peers {
  return {
    self: 'A',
    isReachable,
    byHealth: (peerIds: readonly string[]) => [...peerIds],
    call: async (to: string, request: Request): Promise<Answer> => {
      if (!isReachable(to)) throw new CoterieError('unreachable', to)
      return answer(to, request)
    }
  } as unknown as Peers
}
