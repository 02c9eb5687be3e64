import { replays } from './replays.ts'
import { RING_BUGS } from './ring-bugs.ts'

replays('of the ring', RING_BUGS)
