/**
 * A simulated machine's disk: it outlives the processes, takes virtual time, forgets in a power cut what was not synced,
 * and fails in the ways that disks fail.
 *
 * @example
 *   const disk = new SimDisk(world, 'n0', { readMs: 0.2, writeMs: 0.1, syncMs: 2 }, random)
 *   const files = disk.attach(process)       // the `FileIo` of one boot
 *   process.kill()
 *   disk.powerCut({ torn: true })            // then `attach` the next process
 */
import type { FileIo } from '../../ports.ts'
import type { DiskProfile } from '../plan/plan.ts'
import type { SimProcess } from '../world/process.ts'
import type { SimRandom } from '../world/random.ts'
import type { World } from '../world/world.ts'
import { DirectoryTree } from './directory.ts'
import { DiskFaults, type DiskInjury } from './disk-faults.ts'
import { type Boot, type DiskParts, diskPort, type Work } from './disk-port.ts'
import { type DiskOperation, InFlight } from './in-flight.ts'

/** 200 MB/s: large reads and writes take longer. */
const BYTES_PER_MS = 200_000

export class SimDisk {
  readonly #world: World
  readonly #name: string
  readonly #profile: DiskProfile
  readonly #delays: SimRandom
  readonly #random: SimRandom
  readonly #names = new DirectoryTree()
  readonly #faults: DiskFaults
  readonly #inFlight: InFlight
  #boot: (Boot & { process: SimProcess }) | undefined
  #operations = 0
  #bytesWritten = 0
  readonly #injuries: DiskInjury[] = []

  constructor(world: World, name: string, profile: DiskProfile, random: SimRandom) {
    this.#world = world
    this.#name = name
    this.#profile = profile
    // Streams of their own: a fault more shifts no delay.
    this.#delays = random.fork('delays')
    this.#random = random.fork('fates')
    this.#inFlight = new InFlight(world, random.fork('in-flight'))
    this.#faults = new DiskFaults(this.#names, random.fork('faults'), injury => this.#injured(injury))
  }

  /** Operations begun by all processes, ever. */
  get operations(): number {
    return this.#operations
  }

  /** By all processes, ever; those that a fault lost or misdirected count. */
  get bytesWritten(): number {
    return this.#bytesWritten
  }

  /** What faults have hit so far, oldest first. */
  get injuries(): readonly DiskInjury[] {
    return this.#injuries
  }

  /** Handles that the process holds; 0 once it is down. */
  openFiles(process: SimProcess): number {
    return this.#boot?.process === process ? this.#boot.openFiles : 0
  }

  /** The port of one boot. A process that was attached before is over: its port and handles never do anything again. */
  attach(process: SimProcess): FileIo {
    this.crash()
    const boot = { process, openFiles: 0 }
    this.#boot = boot
    const parts: DiskParts = {
      names: this.#names,
      faults: this.#faults,
      random: this.#random,
      nowMs: () => this.#world.nowMs,
      workMs: this.#workMs.bind(this),
      submit: this.#submit.bind(this),
      wrote: (bytes: number) => void (this.#bytesWritten += bytes)
    }
    return diskPort(parts, boot)
  }

  /** Kill −9: all that was written stays; what was under way may have happened. */
  crash(): void {
    this.#inFlight.abandon()
    this.#boot = undefined
  }

  /**
   * The power fails: what is not synced is gone, or (drawn) the latest of it; creations, renames and unlinks in
   * directories that are not synced are kept or not. `torn`: of each file's unsynced bytes any sectors survive.
   */
  powerCut({ torn }: { torn: boolean }): void {
    this.crash()
    this.#names.powerCut(this.#world.nowMs, this.#random)
    for (const [, file] of this.#names.files()) file.powerCut(torn, this.#world.nowMs, this.#random)
  }

  /** A new, empty disk in the machine. */
  wipe(): void {
    this.crash()
    this.#names.clear()
  }

  // ---- faults

  /** No operation, issued before or after, takes effect before then (virtual ms). */
  stall(untilMs: number): void {
    this.#inFlight.stall(untilMs)
  }

  /** Whatever needs more room fails with ENOSPC; a write may leave its first bytes. */
  fill(): void {
    this.#inFlight.settleDue()
    this.#faults.full = true
  }

  makeRoom(): void {
    this.#inFlight.settleDue()
    this.#faults.full = false
  }

  /** The next `times` operations of this kind on range files fail with EIO. */
  failNext(operation: 'write' | 'sync' | 'read', times: number): void {
    this.#inFlight.settleDue()
    this.#faults.failNext(operation, times)
  }

  /** The next `times` writes to range files are acknowledged and not done. */
  loseWrites(times: number): void {
    this.#inFlight.settleDue()
    this.#faults.loseWrites(times)
  }

  /** The next write to a range file lands in another place of it, or in another range file. */
  misdirectNext(): void {
    this.#inFlight.settleDue()
    this.#faults.misdirectNext()
  }

  /** Flips bits in what range files hold, and says where; fewer when there is nothing to hit. */
  rot(bits: number): DiskInjury[] {
    this.#inFlight.settleDue()
    const before = this.#injuries.length
    this.#faults.rot(bits)
    return this.#injuries.slice(before)
  }

  /** Ends a stall and a lack of room, and forgets faults that have not struck. What is broken stays broken. */
  heal(): void {
    this.#inFlight.endStall()
    this.#faults.forget()
  }

  // ---- what tests and reports look at, in no virtual time

  /** All files, sorted. */
  paths(): string[] {
    this.#inFlight.settleDue()
    return [...this.#names.files()].map(([path]) => path).sort()
  }

  /** As a process would read it; undefined: there is no such file. */
  peek(path: string): Uint8Array | undefined {
    this.#inFlight.settleDue()
    return this.#names.file(path)?.content()
  }

  #submit<T>(boot: Boot, operation: DiskOperation<T>): Promise<T> {
    // A dead process gets no answer, not even that it is dead.
    if (this.#boot === undefined || this.#boot !== boot || !this.#boot.process.alive) return new Promise(() => {})
    this.#operations++
    return this.#inFlight.submit(this.#boot.process, operation)
  }

  /** The profile's time on average, from half of it upwards. */
  #workMs(work: Work, bytes = 0): number {
    const { readMs, writeMs, syncMs } = this.#profile
    const meanMs = { look: readMs / 4, read: readMs, write: writeMs, sync: syncMs, replace: writeMs + 2 * syncMs }[work]
    return meanMs * (0.5 + this.#delays.exponential(0.5)) + bytes / BYTES_PER_MS
  }

  #injured(injury: Omit<DiskInjury, 'atMs'>): void {
    const { kind, path, offset, length } = injury
    this.#injuries.push({ atMs: this.#world.nowMs, ...injury })
    this.#world.log.add(this.#world.nowMs, this.#name, `disk ${kind}`, `${path} ${length}@${offset}`)
  }
}
