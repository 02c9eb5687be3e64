/** The parts of libp2p that the network is built from: what a libp2p service is handed, and no more of it than is used. */
import type { Connection, Libp2pEvents, PeerId, StreamHandler, TypedEventTarget } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface NetworkComponents {
  peerId: PeerId
  registrar: {
    handle(
      protocol: string,
      handler: StreamHandler,
      options?: { maxInboundStreams?: number; maxOutboundStreams?: number }
    ): Promise<void>
    unhandle(protocol: string): Promise<void>
  }
  connectionManager: {
    getConnections(peerId?: PeerId): Connection[]
    openConnection(target: PeerId | Multiaddr | Multiaddr[], options?: { signal?: AbortSignal }): Promise<Connection>
  }
  events: TypedEventTarget<Libp2pEvents>
}
