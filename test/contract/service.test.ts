import { noise } from '@chainsafe/libp2p-noise'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { type CoterieService, coterie } from '../../src/service.ts'
import { LOOPBACK, LoopbackCluster, QUICK } from '../support/loopback-cluster.ts'
import { storeContract } from './store-contract.ts'

storeContract('a service of a libp2p host made by hand', async () => {
  const cluster = new LoopbackCluster()
  await cluster.start(2)
  const { q, clusterId } = cluster.params
  const host = await createLibp2p({
    addresses: { listen: [LOOPBACK] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      store: coterie({ dir: cluster.dir(9), secret: cluster.secret, seeds: cluster.addresses(), settings: QUICK })
    }
  })
  const store: CoterieService = host.services.store
  await store.ready()
  await cluster.settled([...cluster.nodes, store])
  const dispose = async () => {
    await host.stop()
    await cluster.close()
  }
  return { store, q, clusterId, dispose }
})
