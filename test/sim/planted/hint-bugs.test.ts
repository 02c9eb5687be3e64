import { HINT_BUGS } from './hint-bugs.ts'
import { replays } from './replays.ts'

replays('of hints', HINT_BUGS)
