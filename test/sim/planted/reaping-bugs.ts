/** Bugs of range clocks, and of deleted keys that are forgotten. */
import type { Bug } from './bug.ts'

export const REAPING_BUGS: readonly Bug[] = [
  {
    name: 'reaper-without-proof',
    what: 'forgets deleted keys whatever the other members of the list say',
    seenIn: 'Cassandra: gc_grace_seconds',
    file: 'src/repair/reaper.ts',
    find: 'filter(place => answers.every(places => places.has(place)))',
    replace: 'filter(() => answers.length >= 0)',
    scenarios: ['deletes', 'pauses', 'swarm']
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
  },
  {
    name: 'clock-saved-before-the-file',
    what: 'writes a range clock to disk before the file that it speaks of is synced',
    file: 'src/replica/range-clocks.ts',
    find: 'await this.#store.sync(range)',
    replace: 'void this.#store.sync(range).catch(() => undefined)',
    scenarios: ['power', 'swarm']
  },
  {
    name: 'absence-asserted',
    what: 'gives up what another copy calls dead though it is synced itself',
    file: 'src/repair/compare-clocks.ts',
    find: 'this.#dead.set(range, [...(this.#dead.get(range) ?? []), ...items])',
    replace: 'for (const { key, dots } of items) void this.#replicas.bury(range, key, dots).catch(() => undefined)',
    scenarios: ['disk', 'wipe', 'swarm']
  },
  {
    name: 'tombstone-forgotten-at-once',
    what: 'agrees to forget a deleted key before its tombstone is on disk',
    file: 'src/repair/reaper.ts',
    find: 'else if (agreed.length > 0) await replicas.clocks.save([range])',
    replace: 'else if (agreed.length > 0) void range',
    scenarios: ['power', 'deletes', 'swarm']
  },
  {
    name: 'zombie-not-buried',
    what: 'keeps what all others call dead when it catches up',
    file: 'src/repair/compare-clocks.ts',
    find: 'for (const { key, dots } of graves) await replicas.bury(range, key, dots)',
    replace: 'void graves',
    scenarios: ['deletes', 'disk', 'power', 'swarm']
  }
]
