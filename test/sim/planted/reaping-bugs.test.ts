import { REAPING_BUGS } from './reaping-bugs.ts'
import { replays } from './replays.ts'

replays('of range clocks and reaping', REAPING_BUGS)
