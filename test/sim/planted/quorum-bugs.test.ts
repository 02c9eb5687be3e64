import { QUORUM_BUGS } from './quorum-bugs.ts'
import { replays } from './replays.ts'

replays('of quorums and repair', QUORUM_BUGS)
