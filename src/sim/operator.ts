/**
 * Who looks after the cluster of a run, and removes what the cluster cannot know to be gone: a member that has left, where
 * everybody whom it told has restarted since. What others say of members is not kept on disk (`docs/operations.md`).
 */
import type { Cluster } from './cluster.ts'
import type { Machine } from './machine.ts'
import type { SimPort } from './network/network.ts'

const TIMEOUT_MS = 2000

export class Operator {
  readonly #cluster: Cluster
  readonly #port: SimPort

  constructor(cluster: Cluster, port: SimPort) {
    this.#cluster = cluster
    this.#port = port
  }

  /** Members of that kind are removed (`coterie remove`), by the first node that takes one of them for dead. */
  async removeForgotten(): Promise<void> {
    const { world, joined, present } = this.#cluster
    for (const gone of joined.filter(({ hasLeft }) => hasLeft)) {
      const by = present.find(({ core }) => core?.membership.member(gone.name)?.verdict === 'down')
      if (by === undefined || !this.#isForgotten(gone)) continue
      world.log.add(world.nowMs, by.name, 'remove', gone.name)
      await this.#port
        .request(
          by.name,
          { type: 'manage', action: 'remove', peerId: gone.name, ranges: [], force: false },
          { timeoutMs: TIMEOUT_MS }
        )
        .catch(error => world.log.add(world.nowMs, by.name, 'remove-failed', String(error)))
    }
  }

  /** Nobody knows that it has left; who started later than that may have known. */
  #isForgotten({ name, leftAtMs }: Machine): boolean {
    const { present } = this.#cluster
    const knows = ({ core }: Machine) =>
      core?.ready !== true || core.membership.isRemoved(name) || core.membership.member(name)?.record.status === 'left'
    return leftAtMs !== undefined && !present.some(knows) && present.some(({ bootedAtMs }) => bootedAtMs > leftAtMs)
  }
}
