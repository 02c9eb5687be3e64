import { LoopbackCluster } from '../support/loopback-cluster.ts'
import { storeContract } from './store-contract.ts'

storeContract('createNode', async () => {
  const cluster = new LoopbackCluster()
  await cluster.start(3)
  const { q, clusterId } = cluster.params
  return { store: cluster.nodes[1], q, clusterId, dispose: () => cluster.close() }
})
