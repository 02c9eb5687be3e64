/**
 * A simulated machine: a disk that outlives its processes, a wall clock, a place on the network, and the real core running
 * on them, boot after boot. What `service.ts` does around a core (who is founder, whom to stay connected to) is done here.
 */
import { type ClusterParams, DEFAULT_SETTINGS, type NodeSettings } from '../config.ts'
import { Core } from '../core.ts'
import type { Log, Ports } from '../ports.ts'
import { SimDisk } from './disk/disk.ts'
import type { SimNetwork, SimPort } from './network/network.ts'
import type { DiskProfile, NodePlan } from './plan/plan.ts'
import type { RingObserver } from './ring-observer.ts'
import { simSigner } from './signer.ts'
import { SimProcess, type WallClock } from './world/process.ts'
import { WORLD, type World } from './world/world.ts'

/** A process that could not start, or gave up, is started again after this long, as an init system would. */
const START_AGAIN_MS = 2000
const DIR = 'd'

export interface MachineInit {
  world: World
  network: SimNetwork
  ring: RingObserver
  plan: NodePlan
  params: ClusterParams
  settings: Partial<NodeSettings>
  disk: DiskProfile
  founder: boolean
  /** Names of the nodes whose addresses it was given. */
  seeds: () => string[]
}

export class Machine {
  readonly name: string
  readonly disk: SimDisk
  readonly wall: WallClock
  readonly #init: MachineInit
  #founder: boolean
  #process: SimProcess | undefined
  #port: SimPort | undefined
  #core: Core | undefined
  /** The core of this boot, before it serves, too: whom it wants to meet is asked while it starts. */
  #starting: Core | undefined
  #boots = 0
  #bootedAtMs = 0
  #leftAtMs: number | undefined
  /** Off: down until somebody starts it. */
  #power = false
  /** Seeds that have answered since this boot: the others are dialled for ever (`wire/peers.ts`). */
  readonly #answered = new Set<string>()
  /** Why processes ended by themselves. */
  readonly deaths: string[] = []

  constructor(init: MachineInit) {
    const { world, plan } = init
    this.#init = init
    this.name = plan.name
    this.#founder = init.founder
    this.wall = { skewMs: plan.skewMs, drift: plan.drift }
    this.disk = new SimDisk(world, plan.name, init.disk, world.random.fork(`disk ${plan.name}`))
  }

  get boots(): number {
    return this.#boots
  }

  get hasLeft(): boolean {
    return this.#leftAtMs !== undefined
  }

  /** Virtual milliseconds, as the next one. */
  get leftAtMs(): number | undefined {
    return this.#leftAtMs
  }

  /** When its last process began. */
  get bootedAtMs(): number {
    return this.#bootedAtMs
  }

  /** Undefined while it is down or starting. */
  get core(): Core | undefined {
    return this.#process?.alive ? this.#core : undefined
  }

  get process(): SimProcess | undefined {
    return this.#process
  }

  get port(): SimPort | undefined {
    return this.#port
  }

  powerOn(): void {
    if (this.#power || this.hasLeft) return
    this.#power = true
    this.#boot()
  }

  /** Kill −9: what was written stays. */
  kill(): void {
    this.#down()
    this.disk.crash()
  }

  powerCut(torn: boolean): void {
    this.#down()
    this.disk.powerCut({ torn })
  }

  /** The disk is lost with everything on it but the node's key; a founder's mark was on it, too. */
  wipe(): void {
    this.#down()
    this.disk.wipe()
    this.#founder = false
  }

  /** SIGTERM; resolves when the process has ended, one way or the other. */
  async stop(): Promise<void> {
    const process = this.#process
    const core = this.core
    if (core === undefined) return this.kill()
    let failed: unknown
    await Promise.race([
      core.stop().catch(error => {
        failed = error
      }),
      // Killed in the middle of its stop, it never resolves.
      this.#init.world.until(() => process?.alive !== true, 60_000)
    ])
    if (this.#process !== process || process?.alive !== true) return
    if (failed !== undefined) this.#init.world.log.add(this.#init.world.nowMs, this.name, 'stop-failed', String(failed))
    this.kill()
  }

  /** An operator's `coterie leave --force`, to a process that serves; it may be refused. */
  leave(): void {
    const { world } = this.#init
    this.core?.leave(true).catch(error => world.log.add(world.nowMs, this.name, 'stays', String(error)))
  }

  pause(): void {
    this.#process?.pause()
  }

  resume(): void {
    this.#process?.resume()
  }

  #down(): void {
    this.#power = false
    this.#end()
  }

  #end(): void {
    this.#process?.kill()
    this.#port?.detach()
    this.#core = undefined
  }

  #boot(): void {
    const { world, network } = this.#init
    this.#boots++
    this.#bootedAtMs = world.nowMs
    // Every start begins with its seeds again, whatever the last one met.
    this.#answered.clear()
    this.#starting = undefined
    const process = new SimProcess(world, this.name, this.wall)
    this.#process = process
    const log = simLog(world, this.name)
    const port = network.attach(process, {
      peerId: this.name,
      role: 'node',
      wanted: () => this.#wanted(),
      banned: peerId => this.#starting?.membership.isRemoved(peerId) ?? false,
      log
    })
    this.#port = port
    port.onConnection((peerId, connected) => {
      if (!connected) return
      this.#answered.add(peerId)
      // Others know the ring now: never again does this node begin one (as `service.ts` notes in config.json).
      if (this.#core?.ready) this.#founder = false
    })
    world.log.add(world.nowMs, this.name, 'boot', this.#boots)
    this.#start(process, port, log).catch(error => this.#died(process, `cannot start: ${String(error)}`))
  }

  async #start(process: SimProcess, port: SimPort, log: Log): Promise<void> {
    const { world, ring, params, settings } = this.#init
    const files = this.disk.attach(process)
    const ports: Ports = {
      clock: process.clock,
      timers: process.timers,
      random: world.random.fork(`${this.name} boot ${this.#boots}`),
      signer: simSigner(this.name),
      files,
      network: port,
      log
    }
    await files.makeDir(DIR)
    const { zone, capacity } = this.#init.plan
    const core = new Core(ports, {
      dir: DIR,
      params,
      settings: { ...DEFAULT_SETTINGS, ...settings, zone, capacity },
      founder: this.#founder,
      addresses: () => [`/memory/${this.name}`],
      seeds: () => port.connected(),
      onFatal: error => this.#died(process, error.message),
      onLeft: () => this.#gone(process)
    })
    this.#starting = core
    const hasStarted = ring.watch(this.name, core)
    await core.start()
    hasStarted()
    if (process.alive) this.#core = core
  }

  /** It has left the cluster, and is switched off for good. */
  #gone(process: SimProcess): void {
    if (this.#process !== process || !process.alive) return
    this.#leftAtMs = this.#init.world.nowMs
    this.#init.world.log.add(this.#init.world.nowMs, this.name, 'left')
    void this.stop()
  }

  #died(process: SimProcess, why: string): void {
    if (this.#process !== process || !process.alive) return
    const { world } = this.#init
    this.deaths.push(why)
    world.log.add(world.nowMs, this.name, 'died', why)
    this.#end()
    this.disk.crash()
    world.after(START_AGAIN_MS, WORLD, 'start-again', () => {
      if (this.#power && this.#process === process) this.#boot()
    })
  }

  /** As `service.ts` wants it: members; before the first gossip those remembered; and seeds that have not answered. */
  #wanted(): string[] {
    const membership = this.#starting?.membership
    const members = membership?.members() ?? []
    const known = members.filter(({ self, record }) => !self && record.status !== 'left').map(({ peerId }) => peerId)
    const others = known.length > 0 ? known : (membership?.addressBook.peers() ?? [])
    const alone = others.length === 0
    const due = this.#init.seeds().filter(seed => alone || !this.#answered.has(seed))
    return [...new Set([...others, ...due])]
  }
}

function simLog(world: World, name: string): Log {
  const at = (level: string) => (message: string, fields?: Record<string, unknown>) =>
    world.log.add(world.nowMs, name, level, fields === undefined ? message : `${message} ${JSON.stringify(fields)}`)
  return { error: at('ERROR'), warn: at('WARN'), info: at('INFO'), debug: at('DEBUG') }
}
