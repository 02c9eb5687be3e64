import { replays } from './replays.ts'
import { VERSION_BUGS } from './version-bugs.ts'

replays('of versions', VERSION_BUGS)
