import { DEATH_BUGS } from './death-bugs.ts'
import { replays } from './replays.ts'

replays('of leaving and of death', DEATH_BUGS)
