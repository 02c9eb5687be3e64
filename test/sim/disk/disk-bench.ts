/** A simulated machine with a disk and nothing else, for the tests of disks. */
import { silentLog } from '../../../src/runtime.ts'
import { SimDisk } from '../../../src/sim/disk/disk.ts'
import type { DiskProfile } from '../../../src/sim/plan/plan.ts'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

export const PROFILE: DiskProfile = { readMs: 0.2, writeMs: 0.1, syncMs: 2 }
export const SEEDS = Array.from({ length: 20 }, (_, i) => `seed ${i}`)
export const DIR = 'd/ranges'
export const FILE = `${DIR}/0007-0000000001.log`
export const OTHER = `${DIR}/0008-0000000001.log`

export class Bench {
  readonly log: EventLog
  readonly world: World
  readonly random: SimRandom
  readonly disk: SimDisk
  process: SimProcess

  constructor(seed: string, trace?: (line: string) => void) {
    this.random = new SimRandom(seed)
    this.log = new EventLog(trace)
    this.world = new World(this.random.fork('world'), this.log)
    this.disk = new SimDisk(this.world, 'n0', PROFILE, this.random.fork('disk'))
    this.process = new SimProcess(this.world, 'n0', { skewMs: 0, drift: 0 })
  }

  /** The files of a new process; the one before is killed. */
  boot() {
    this.process.kill()
    this.process = new SimProcess(this.world, 'n0', { skewMs: 0, drift: 0 })
    return this.disk.attach(this.process)
  }

  /** The same, with the range directory made and synced. */
  async bootWithDir() {
    const files = this.boot()
    await files.makeDir(DIR)
    await files.syncDir('d')
    return files
  }

  /** Creates a file that survives a power cut with this content. */
  async durable(path: string, content: Uint8Array) {
    const files = await this.bootWithDir()
    const handle = await files.open(path, 'wx+')
    await handle.write([content], 0)
    await handle.sync()
    await files.syncDir(DIR)
    return { files, handle }
  }

  crash(): void {
    this.process.kill()
    this.disk.crash()
  }

  powerCut(torn: boolean): void {
    this.process.kill()
    this.disk.powerCut({ torn })
  }

  /** Ports as a store wants them. */
  ports() {
    const files = this.boot()
    const { clock, timers } = this.process
    return { clock, timers, random: this.random.fork(`boot at ${this.world.nowMs}`), files, log: silentLog }
  }
}

/** Runs `main` in a world of its own. */
export async function simulate<T>(seed: string, main: (bench: Bench) => Promise<T>): Promise<T> {
  const bench = new Bench(seed)
  return bench.world.run(() => main(bench))
}

/** One result per seed. */
export function eachSeed<T>(main: (bench: Bench) => Promise<T>): Promise<T[]> {
  return Promise.all(SEEDS.map(seed => simulate(seed, main)))
}

/** `length` times the same byte. */
export function fill(byte: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(byte)
}

/** The code that a promise rejects with; undefined when it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
  return undefined
}
