/** When a cluster of processes has come to rest, asked of every node by a client of its own. */
import type { CoterieClient } from '../../src/client/client.ts'
import { until } from '../support/until.ts'

export interface Member {
  peerId: string
  status: string
  alive: boolean
  ranges: number
}

/** All see the same ring, everybody owns its share ± 2, no copy is syncing or on its way out. */
export async function settled(clients: CoterieClient[], timeoutMs = 60_000): Promise<void> {
  await until(
    'the cluster settles',
    async () => {
      const rings = await Promise.all(
        clients.map(async client => JSON.stringify(((await client.info('ring')) as { owners: unknown }).owners))
      )
      if (new Set(rings).size !== 1) return false
      for (const client of clients) {
        const members = ((await client.info('members')) as Member[]).filter(({ status }) => status !== 'left')
        const share = client.cluster.q / members.length
        if (members.length < clients.length || members.some(({ ranges }) => Math.abs(ranges - share) > 2)) return false
        const stats = (await client.info('stats')) as Record<string, number>
        if (stats.copiesSyncing + stats.copiesFrozen + stats.rangesAskedFor > 0) return false
      }
      return true
    },
    timeoutMs,
    200
  )
}
