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
    name: 'hint-never-delivered',
    what: 'keeps what it keeps for others for ever',
    file: 'src/repair/hint-delivery.ts',
    find: 'const due = kept.filter(range => this.#of(range).dueMs <= nowMs)',
    replace: 'const due = kept.filter(range => this.#of(range).dueMs > nowMs + 1e9)',
    scenarios: ['partition', 'pauses', 'swarm']
  }
]
