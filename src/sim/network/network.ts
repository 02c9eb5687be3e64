/**
 * The simulated network: every message is an event of the process that receives it. Messages are delayed, overtake one
 * another, get lost or come twice (`links.ts`); connections are made, noticed to be dead and made again
 * (`connections.ts`, `dials.ts`); requests and answers pass through the real codec.
 *
 * @example
 *   const network = new SimNetwork(world, profile)
 *   const port = network.attach(process, { peerId: 'n0', role: 'node', wanted: () => ['n1'] })
 *   network.cut('n0', 'n1')         // what n0 sends to n1 is lost; n1 still reaches n0
 *   network.mendAll()
 */

import type { LinkProfile } from '../plan/plan.ts'
import type { SimProcess } from '../world/process.ts'
import type { SimRandom } from '../world/random.ts'
import type { World } from '../world/world.ts'
import { Links } from './links.ts'
import { Port, type PortInit, type SimPort } from './network-port.ts'

export type { SimPort } from './network-port.ts'

export class SimNetwork {
  readonly #world: World
  readonly #random: SimRandom
  readonly #links: Links
  readonly #ports = new Map<string, Port>()
  #boots = 0

  constructor(world: World, profile: LinkProfile) {
    this.#world = world
    this.#random = world.random.fork('network')
    this.#links = new Links(world, profile)
  }

  /**
   * The network port of one boot of a machine or of a client. A name that is attached already is reached at its newest
   * process from now on; the older one may still be alive (one identity, running twice).
   */
  attach(process: SimProcess, init: PortInit): SimPort {
    const older = this.#ports.get(init.peerId)
    if (older !== undefined && !older.process.alive) older.detach()
    const port = new Port(
      {
        world: this.#world,
        process,
        links: this.#links,
        random: this.#random.fork(`${init.peerId} ${this.#boots++}`),
        target: peerId => this.#ports.get(peerId),
        left: leaving => {
          if (this.#ports.get(init.peerId) === leaving) this.#ports.delete(init.peerId)
        }
      },
      init
    )
    this.#ports.set(init.peerId, port)
    return port
  }

  /** One direction: what `from` sends to `to` is lost, and streams wait. A link that was cut twice is mended twice. */
  cut(from: string, to: string): void {
    this.#links.between(from, to).cut()
  }

  mend(from: string, to: string): void {
    this.#links.between(from, to).mend(false)
  }

  /** Every link, however often it was cut. */
  mendAll(): void {
    this.#links.mendAll()
  }

  /** All connections of a peer break, at both ends, and may be made again. */
  reset(peerId: string): void {
    this.#ports.get(peerId)?.reset()
  }

  /** Changes all links of a peer, both ways. Returns the way back. */
  degrade(peerId: string, change: Partial<LinkProfile>): () => void {
    return this.#links.degrade(peerId, change)
  }
}
