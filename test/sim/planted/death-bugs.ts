/** Bugs of leaving, and of taking over what dead members owned. */
import type { Bug } from './bug.ts'

export const DEATH_BUGS: readonly Bug[] = [
  {
    name: 'minority-takes-over',
    what: 'takes the ranges of silent members over, whoever it hears itself',
    seenIn: 'the reason for a majority',
    file: 'src/majority.ts',
    find: 'return 2 * counted.length > all.length',
    replace: 'return counted.length > 0',
    scenarios: ['death']
  },
  {
    name: 'cut-off-node-trusts-its-view',
    isLost: true,
    what: 'goes by its own view of the ring though it has been cut off for as long as makes it dead to the others',
    file: 'src/majority.ts',
    find: 'return nowMs < this.#currentUntilMs',
    replace: 'return true',
    scenarios: ['death']
  },
  {
    name: 'leaves-with-copies',
    what: 'leaves as soon as it owns nothing any more, whether the others have what it holds or not',
    file: 'src/repair/leaver.ts',
    find: 'return ranges + copies + hints === 0',
    replace: 'return ranges === 0 && copies + hints >= 0',
    scenarios: ['leave']
  }
]
