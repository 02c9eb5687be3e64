/** Bugs of range clocks, and of deleted keys that are forgotten. */
import type { Bug } from './bug.ts'

export const REAPING_BUGS: readonly Bug[] = [
  {
    name: 'reaper-without-proof',
    what: 'forgets deleted keys whatever the other members of the list say',
    seenIn: 'Cassandra: gc_grace_seconds',
    file: 'src/repair/reaper.ts',
    find: 'if (!list.every(member => member === peers.self || peers.isReachable(member))) return',
    replace: 'if (rank >= 0) return this.#reap(range, await this.#tombstones.due(range, 0, budget))',
    scenarios: ['returns']
  },
  {
    name: 'clock-joined-before-the-pull',
    what: 'gives away its range clock as it is when it is sent, which covers writes that came after the sums were told',
    file: 'src/repair/compare-clocks.ts',
    find: "yield { type: 'clock', range, entries, synced:",
    replace: "yield { type: 'clock', range, entries: this.#replicas.clocks.of(range).entries(), synced:",
    scenarios: ['deletes', 'hot-key', 'swarm']
  },
  {
    name: 'clock-kept-after-damage',
    what: 'goes on with the range clock of a copy that has lost something',
    file: 'src/replica/replicas.ts',
    find: `this.clocks.forget(range)
    this.#damages.set(`,
    replace: 'this.#damages.set(',
    scenarios: ['disk', 'swarm']
  }
]
