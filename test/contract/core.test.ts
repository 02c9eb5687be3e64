import { MemoryCluster } from '../support/memory-cluster.ts'
import { storeContract } from './store-contract.ts'

storeContract('a core in memory', async () => {
  const cluster = new MemoryCluster()
  const [, { core, name }] = await cluster.startMany(4)
  const { store } = core
  return {
    store: {
      get: (key, options) => store.get(key, options),
      put: (key, value, options) => store.put(key, value, options),
      delete: (key, options) => store.delete(key, options),
      update: (key, merge, options) => store.update(key, merge, options),
      keys: options => store.keys(options),
      close: async () => {
        if (cluster.nodes.has(name)) await cluster.stop(name)
      }
    },
    q: cluster.params.q,
    clusterId: cluster.params.clusterId,
    dispose: () => cluster.close()
  }
})
