/**
 * Faults of one line, of the kind that real systems had, each planted into the source of one module when a process loads
 * it (`planting.ts`): the simulator must catch every one of them.
 */
import type { Bug } from './bug.ts'
import { DEATH_BUGS } from './death-bugs.ts'
import { DISK_BUGS } from './disk-bugs.ts'
import { FOUND_BUGS } from './found-bugs.ts'
import { HINT_BUGS } from './hint-bugs.ts'
import { QUORUM_BUGS } from './quorum-bugs.ts'
import { REAPING_BUGS } from './reaping-bugs.ts'
import { RING_BUGS } from './ring-bugs.ts'
import { VERSION_BUGS } from './version-bugs.ts'

export const BUGS: readonly Bug[] = [
  ...DISK_BUGS,
  ...VERSION_BUGS,
  ...QUORUM_BUGS,
  ...HINT_BUGS,
  ...REAPING_BUGS,
  ...RING_BUGS,
  ...DEATH_BUGS,
  ...FOUND_BUGS
]
