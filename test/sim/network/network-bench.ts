/** Peers on a simulated network, for its tests. */
import type { Request } from '../../../src/messages.ts'
import { SimNetwork, type SimPort } from '../../../src/sim/network/network.ts'
import type { LinkProfile } from '../../../src/sim/plan/plan.ts'
import { EventLog } from '../../../src/sim/world/event-log.ts'
import { SimProcess } from '../../../src/sim/world/process.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { World } from '../../../src/sim/world/world.ts'

const CALM: LinkProfile = { minMs: 1, meanMs: 1, slowChance: 0, slowMs: 0, loss: 0, replay: 0 }
export const read = (range: number): Request => ({ type: 'read', range, key: Uint8Array.of(1), standIn: false })
export const soon = { timeoutMs: 1000 }
export const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'ok',
    error => error.code ?? error.message
  )

export interface Peer {
  name: string
  process: SimProcess
  port: SimPort
  /** Ranges of the requests that its handler was given. */
  served: number[]
  events: string[]
}

export class Lab {
  readonly log = new EventLog()
  readonly world: World
  readonly network: SimNetwork
  readonly peers = new Map<string, Peer>()

  constructor(seed = '1', profile: Partial<LinkProfile> = {}) {
    this.world = new World(new SimRandom(seed), this.log)
    this.network = new SimNetwork(this.world, { ...CALM, ...profile })
  }

  peer(name: string, wanted: string[] = [], role: 'node' | 'client' = 'node', banned: string[] = []): Peer {
    const process = new SimProcess(this.world, name, { skewMs: 0, drift: 0 })
    const port = this.network.attach(process, {
      peerId: name,
      role,
      wanted: () => wanted,
      banned: peerId => banned.includes(peerId)
    })
    const peer: Peer = { name, process, port, served: [], events: [] }
    port.onConnection((peerId, connected) => peer.events.push(`${connected ? '+' : '-'}${peerId}`))
    port.handleRequests(async request => {
      if (request.type === 'read') peer.served.push(request.range)
      return { type: 'state', synced: true }
    })
    this.peers.set(name, peer)
    return peer
  }

  /** `n0` to `n…`, all connected to one another. */
  mesh(count: number): Peer[] {
    const names = Array.from({ length: count }, (_, i) => `n${i}`)
    return names.map(name => this.peer(name, names))
  }

  kill(peer: Peer): void {
    peer.process.kill()
    peer.port.detach()
  }

  run<T>(main: () => Promise<T>): Promise<T> {
    return this.world.run(main)
  }
}
