/** Virtual time for unit tests: the simulator's world with one process in it. Waiting for minutes takes no time. */
import { EventLog } from '../../src/sim/world/event-log.ts'
import { SimProcess } from '../../src/sim/world/process.ts'
import { SimRandom } from '../../src/sim/world/random.ts'
import { World } from '../../src/sim/world/world.ts'

/** Whatever uses the clock and the timers has to run inside of `world.run`. */
export function virtualTime() {
  const world = new World(new SimRandom('a test'), new EventLog())
  const { clock, timers } = new SimProcess(world, 'node')
  return { world, clock, timers }
}
