/** Carries out the faults of a plan on a cluster, and ends them all when the run heals. */

import { Adversary } from './adversary.ts'
import type { Cluster } from './cluster.ts'
import type { Machine } from './machine.ts'
import { destroysData, type Fault } from './plan/plan.ts'
import { SWIZZLE_SHARE } from './plan/plan-times.ts'
import type { SimRandom } from './world/random.ts'
import { WORLD } from './world/world.ts'

export interface Destroyed {
  node: string
  atMs: number
  how: string
}

export class Faults {
  readonly destroyed: Destroyed[] = []
  readonly #cluster: Cluster
  readonly #random: SimRandom
  readonly #adversary: Adversary
  /** What ends the faults that are on now. */
  readonly #ends = new Set<() => void>()
  #healed = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#random = cluster.world.random.fork('faults')
    this.#adversary = new Adversary(cluster)
  }

  schedule(): void {
    for (const fault of this.#cluster.plan.faults) {
      const { atMs, kind } = fault
      // An adversary has something to replay only if it has listened before.
      if (kind === 'forge' || kind === 'replay-record')
        this.#cluster.world.after(atMs / 2, WORLD, 'adversary listens', () => this.#adversary.listen())
      this.#cluster.world.after(atMs, WORLD, `fault ${kind}`, () => this.#begin(fault))
    }
  }

  /** Ends every fault; none begins any more. */
  heal(): void {
    this.#healed = true
    for (const end of [...this.#ends]) end()
    this.#cluster.network.mendAll()
    for (const machine of this.#cluster.machines) {
      this.#cluster.network.degrade(machine.name, { loss: 0, replay: 0 })
      machine.disk.heal()
      machine.resume()
    }
  }

  #begin(fault: Fault): void {
    if (this.#healed) return
    const { world, plan } = this.#cluster
    const node = 'node' in fault ? fault.node : ''
    world.log.add(world.nowMs, 'world', 'fault', JSON.stringify(fault))
    if (destroysData(fault, plan.settings.durability ?? 'interval')) {
      this.destroyed.push({ node, atMs: world.nowMs, how: fault.kind })
    }
    const machine = this.#cluster.machine(node)
    if (machine !== undefined) this.#onMachine(fault, machine)
    else this.#onLinks(fault)
  }

  #onMachine(fault: Fault, machine: Machine): void {
    // A machine that has not joined yet, or is down, has nothing to lose but what is on its disk.
    if (machine.boots === 0) return
    const { network } = this.#cluster
    switch (fault.kind) {
      case 'crash':
        this.#takeDown(machine, fault.forMs, () => machine.kill())
        return
      case 'power-cut':
        this.#takeDown(machine, fault.forMs, () => machine.powerCut(fault.torn))
        return
      case 'wipe':
        this.#takeDown(machine, fault.forMs, () => machine.wipe())
        return
      case 'restart':
        this.#restart(machine, fault.forMs)
        return
      case 'pause':
        machine.pause()
        this.#until(fault.forMs, () => machine.resume())
        return
      case 'leave':
        machine.leave()
        return
      case 'clock-jump':
        machine.wall.skewMs += fault.byMs
        return
      case 'bad-links':
        this.#until(fault.forMs, network.degrade(machine.name, fault.change))
        return
      case 'reset':
        network.reset(machine.name)
        return
      default:
        this.#onDisk(fault, machine)
        return
    }
  }

  #onDisk(fault: Fault, { disk }: Machine): void {
    const { world } = this.#cluster
    switch (fault.kind) {
      case 'disk-stall':
        disk.stall(world.nowMs + Math.min(fault.forMs, this.#cluster.plan.healAtMs - world.nowMs))
        return
      case 'disk-full':
        disk.fill()
        this.#until(fault.forMs, () => disk.makeRoom())
        return
      case 'eio':
        disk.failNext(fault.operation, fault.times)
        return
      case 'bit-rot':
        disk.rot(fault.bits)
        return
      case 'lost-write':
        disk.loseWrites(fault.times)
        return
      case 'misdirected-write':
        disk.misdirectNext()
        return
    }
  }

  #onLinks(fault: Fault): void {
    switch (fault.kind) {
      case 'one-way':
        this.#cut([[fault.from, fault.to]], fault.forMs)
        return
      case 'partition':
        this.#cut(this.#across(fault.groups), fault.forMs)
        return
      case 'swizzle':
        this.#swizzle(fault.nodes, fault.forMs)
        return
      case 'forge':
        this.#adversary.forge(fault.from, fault.victim)
        return
      case 'replay-record':
        this.#adversary.replay(fault.victim)
        return
    }
  }

  #takeDown(machine: Machine, forMs: number, down: () => void): void {
    const release = this.#cluster.hold(machine)
    down()
    this.#until(forMs, release)
  }

  #restart(machine: Machine, forMs: number): void {
    const release = this.#cluster.hold(machine)
    const { world } = this.#cluster
    const stopped = machine.stop()
    stopped.then(
      () => machine.kill(),
      error => world.fail(error)
    )
    // Not before it has ended: two processes never have one directory.
    this.#until(forMs, () => void stopped.then(release))
  }

  #cut(pairs: [string, string][], forMs: number): void {
    const { network } = this.#cluster
    for (const [from, to] of pairs) network.cut(from, to)
    this.#until(forMs, () => {
      for (const [from, to] of pairs) network.mend(from, to)
    })
  }

  /** Both directions of every pair of nodes that are in different groups; clients reach everybody. */
  #across(groups: string[][]): [string, string][] {
    const rest = this.#cluster.machines.map(({ name }) => name).filter(name => !groups.flat().includes(name))
    const all = rest.length > 0 ? [...groups, rest] : groups
    return all.flatMap((group, i) =>
      all.flatMap((other, j) => (i === j ? [] : group.flatMap(from => other.map((to): [string, string] => [from, to]))))
    )
  }

  /** FoundationDB's swizzle-clogging: links stop one after another, and come back in another order. */
  #swizzle(nodes: string[], forMs: number): void {
    const { world, network, machines } = this.#cluster
    const share = forMs * SWIZZLE_SHARE
    const step = share / Math.max(1, nodes.length)
    const back = this.#random.shuffle(nodes)
    const pairsOf = (node: string) =>
      machines.filter(({ name }) => name !== node).flatMap(({ name }) => [[node, name] as const, [name, node] as const])
    this.#random.shuffle(nodes).forEach((node, i) => {
      world.after(i * step, WORLD, 'swizzle', () => {
        if (this.#healed) return
        for (const [from, to] of pairsOf(node)) network.cut(from, to)
      })
      this.#until(forMs - share + back.indexOf(node) * step, () => {
        for (const [from, to] of pairsOf(node)) network.mend(from, to)
      })
    })
  }

  #until(forMs: number, end: () => void): void {
    const once = () => {
      if (this.#ends.delete(once)) end()
    }
    this.#ends.add(once)
    this.#cluster.world.after(forMs, WORLD, 'fault ends', once)
  }
}
