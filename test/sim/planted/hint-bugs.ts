/** Bugs of what is kept for members that could not be reached. */
import type { Bug } from './bug.ts'

export const HINT_BUGS: readonly Bug[] = [
  {
    name: 'hint-dropped-unproven',
    what: 'drops what it keeps for others before anybody has said to have it',
    file: 'src/repair/hint-delivery.ts',
    find: 'list.length > 0 && list.every(member => proven.has(member))',
    replace: 'list.length > 0',
    scenarios: ['partition', 'pauses', 'swarm']
  },
  {
    name: 'hint-dropped-with-what-came-since',
    what: 'drops what it keeps for others though more has come since they proved to have it',
    file: 'src/replica/stand-ins.ts',
    find: 'if (this.changes(range) !== changes || ',
    replace: 'if (',
    scenarios: ['partition', 'pauses', 'swarm']
  },
  {
    name: 'hint-never-delivered',
    what: 'keeps what it keeps for others for ever',
    file: 'src/repair/hint-delivery.ts',
    find: 'const due = kept.filter(range => this.#of(range).dueMs <= nowMs)',
    replace: 'const due = kept.filter(range => this.#of(range).dueMs > nowMs + 1e9)',
    scenarios: ['partition', 'pauses', 'swarm']
  },
  {
    name: 'stand-in-votes-absent',
    what: 'lets what is kept for others say that there is no such key',
    file: 'src/dispatch.ts',
    find: "return { type: 'state', state: kept && encodeState(kept), synced: false }",
    replace: "return { type: 'state', state: kept && encodeState(kept), synced: true }",
    scenarios: ['partition', 'pauses', 'swarm']
  },
  {
    name: 'stand-in-acks-before-storing',
    what: 'acknowledges what it keeps for others before it has stored it',
    file: 'src/dispatch.ts',
    find: 'await this.#parts.standIns.hold(range, key, state)',
    replace: 'this.#parts.standIns.hold(range, key, state).catch(() => undefined)',
    scenarios: ['disk', 'power', 'swarm']
  }
]
