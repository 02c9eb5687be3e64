/** Bugs that the simulator found in this code, each put back by one line: what has been mended stays mended. */
import type { Bug } from './bug.ts'

export const FOUND_BUGS: readonly Bug[] = [
  {
    name: 'failed-write-never-made-up-for',
    what: 'a small file whose last write failed is not written again: once full, a disk wedges its node for good',
    file: 'src/whole-file.ts',
    find: 'return this.#behind && this.#pending === undefined ? this.write() : this.#last',
    replace: 'return this.#last',
    scenarios: ['disk', 'swarm']
  },
  {
    name: 'stale-pass-freezes-a-granted-copy',
    isLost: true,
    what: 'the keeper goes by the ring that its pass began with, and freezes a copy that has been granted since',
    file: 'src/repair/copy-keeper.ts',
    find: 'const isOurs = (range: number) => topology.view.isMember(range, peers.self)',
    replace: 'const isOurs = (range: number) => held.includes(range)',
    scenarios: ['join', 'swarm']
  },
  {
    name: 'late-pull-prepares-again',
    isLost: true,
    what: 'a pull that comes after the grant makes a preparation of what is a member’s copy by now',
    file: 'src/repair/prepared-copies.ts',
    find: 'const wanted = ranges.filter(range => !this.#isMember(range))',
    replace: 'const wanted = ranges',
    scenarios: ['hot-key', 'swarm', 'join']
  },
  {
    name: 'unsafe-flips-forgotten',
    isLost: true,
    what: 'an owner remembers only the last refusal: two thieves of one range make it plan the same unsafe flips for ever',
    file: 'src/repair/unsafe-flips.ts',
    find: 'if (this.#version !== this.#topology.version) this.#flips.clear()',
    replace: 'this.#flips.clear()',
    scenarios: ['swarm', 'join']
  },
  {
    name: 'plan-outlives-its-ring',
    isLost: true,
    what: 'a grant is signed though another owner’s flip has changed what it does: a member enters a list unprepared',
    file: 'src/repair/movement.ts',
    find: 'const planned = () => this.#unchanged(flips, effects)',
    replace: 'const planned = () => true',
    scenarios: ['join']
  },
  {
    name: 'grants-told-to-few',
    isLost: true,
    what: 'only members of changed lists hear of a grant at once: others go on reading by lists that have moved on',
    file: 'src/repair/movement.ts',
    find: 'others.length <= TELL_ALL',
    replace: 'others.length < 0',
    scenarios: ['swarm', 'join', 'calm']
  },
  {
    name: 'full-disk-draws-actors',
    isLost: true,
    what: 'each write that a full disk refuses has left the node under an actor of its own: contexts grow without bound',
    file: 'src/replica/replicas.ts',
    find: 'if (this.#room.isFull) await appended',
    replace: '',
    scenarios: ['disk']
  },
  {
    name: 'fenced-preparation-stays',
    isLost: true,
    what: 'a prepared copy whose file failed is never made anew: the range cannot be handed over',
    file: 'src/repair/copy-keeper.ts',
    find: 'await this.#remakeFenced(copies.ranges().filter(range => prepared.has(range)))',
    replace: '',
    scenarios: ['disk', 'join']
  },
  {
    name: 'damaged-append-noted',
    what: 'the range clock covers a record that was found damaged before it was stored: what others give back is taken for dead',
    file: 'src/replica/range-clocks.ts',
    find: 'if (this.#era(range) === era) this.of(range).noteAll(state.context)',
    replace: 'this.of(range).noteAll(state.context)',
    scenarios: ['churn']
  }
]
