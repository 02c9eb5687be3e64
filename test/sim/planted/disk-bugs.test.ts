import { DISK_BUGS } from './disk-bugs.ts'
import { replays } from './replays.ts'

replays('of the disk', DISK_BUGS)
