/** All machines of a run, and the clients that use them. */
import type { ClusterParams } from '../config.ts'
import { SimClient } from './client.ts'
import type { History } from './history.ts'
import { Machine } from './machine.ts'
import { SimNetwork } from './network/network.ts'
import type { NodePlan, Plan } from './plan/plan.ts'
import { RingObserver } from './ring-observer.ts'
import { WORLD, type World } from './world/world.ts'

const LOOK_TIMEOUT_MS = 20_000
const CLUSTER_ID = '5'.repeat(32)
/** How many nodes' addresses a machine is given, the founder's among them. */
const SEEDS = 2

export class Cluster {
  readonly world: World
  readonly network: SimNetwork
  readonly plan: Plan
  readonly params: ClusterParams
  readonly ring: RingObserver
  readonly #machines = new Map<string, Machine>()
  readonly #clients = new Map<number, SimClient>()
  readonly #history: History
  /** Until the machines come back that faults hold down: name → how many faults do. */
  readonly #heldDown = new Map<string, number>()

  constructor(world: World, plan: Plan, history: History) {
    this.world = world
    this.plan = plan
    this.#history = history
    this.params = { clusterId: CLUSTER_ID, name: 'simulated', ...plan.params }
    this.network = new SimNetwork(world, plan.links)
    this.ring = new RingObserver(world)
    plan.nodes.forEach((node, i) => {
      this.#machines.set(node.name, this.#machine(node, i))
    })
  }

  get machines(): Machine[] {
    return [...this.#machines.values()]
  }

  /** Undefined for a name that no node of the plan has. */
  machine(name: string): Machine | undefined {
    return this.#machines.get(name)
  }

  /** Machines that have been started at least once. */
  get joined(): Machine[] {
    return this.machines.filter(({ boots }) => boots > 0)
  }

  /** Those of them that have not left. */
  get present(): Machine[] {
    return this.joined.filter(({ hasLeft }) => !hasLeft)
  }

  /** Starts every node at its time. */
  schedule(): void {
    for (const { name, joinAtMs } of this.plan.nodes) {
      this.world.after(joinAtMs, WORLD, 'join', () => {
        if (!this.#heldDown.has(name)) this.#machines.get(name)?.powerOn()
      })
    }
  }

  client(id: number): SimClient {
    let client = this.#clients.get(id)
    if (client === undefined) {
      client = new SimClient({
        world: this.world,
        network: this.network,
        history: this.#history,
        name: `c${id}`,
        id,
        q: this.params.q,
        // Who looks at a cluster after a run has time: whether it can be read is the question, not how fast.
        timeoutMs: id < 0 ? LOOK_TIMEOUT_MS : (this.plan.settings.requestTimeoutMs ?? 5000),
        nodes: () => this.joined.map(({ name }) => name)
      })
      this.#clients.set(id, client)
    }
    return client
  }

  /** A machine is down from now on; the returned function lets it start again, once nobody else holds it down. */
  hold(machine: Machine): () => void {
    const { name } = machine
    this.#heldDown.set(name, (this.#heldDown.get(name) ?? 0) + 1)
    let held = true
    return () => {
      if (!held) return
      held = false
      const left = this.#heldDown.get(name)! - 1
      if (left > 0) this.#heldDown.set(name, left)
      else {
        this.#heldDown.delete(name)
        machine.powerOn()
      }
    }
  }

  #machine(node: NodePlan, index: number): Machine {
    const { plan, world, network, params } = this
    const earlier = plan.nodes.slice(0, index).map(({ name }) => name)
    const others = world.random.fork(`seeds ${node.name}`).shuffle(earlier.slice(1))
    const later = plan.nodes.slice(index + 1).map(({ name }) => name)
    // A founder that lost its directory starts again with the addresses of others, as its operator would have it.
    const given = index === 0 ? later : [plan.nodes[0]!.name, ...others]
    const isThere = (name: string) => !this.#machines.get(name)!.hasLeft
    return new Machine({
      world,
      network,
      ring: this.ring,
      plan: node,
      params,
      settings: plan.settings,
      disk: plan.disks,
      founder: index === 0,
      // Addresses of nodes that have left are replaced, by whoever starts a node, or it would never find the others.
      seeds: () => {
        const there = given.filter(isThere)
        return (there.length > 0 ? there : later.filter(isThere)).slice(0, SEEDS)
      }
    })
  }
}
