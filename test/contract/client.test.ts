import { connect } from '../../src/client/client.ts'
import { LoopbackCluster } from '../support/loopback-cluster.ts'
import { storeContract } from './store-contract.ts'

storeContract('a remote client', async () => {
  const cluster = new LoopbackCluster()
  await cluster.start(3)
  const { q, clusterId } = cluster.params
  const store = await connect({ seeds: cluster.addresses(), secret: cluster.secret })
  return { store, q, clusterId, dispose: () => cluster.close() }
})
