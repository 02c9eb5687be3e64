import { FOUND_BUGS } from './found-bugs.ts'
import { replays } from './replays.ts'

replays('that this code had', FOUND_BUGS)
