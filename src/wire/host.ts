/**
 * A libp2p host as coterie wants it: TCP, Noise, Yamux, identify, mDNS, and the limits that a cluster needs other than
 * the defaults are (each with its reason). What is served on it comes in as `services`.
 *
 * @example
 *   const host = await createLibp2p(hostConfig({ privateKey, listen, clusterId, services: { store } }))
 */
import { noise } from '@chainsafe/libp2p-noise'
import { type Identify, identify } from '@libp2p/identify'
import type {
  Libp2pEvents,
  PeerDiscovery,
  PrivateKey,
  ServiceMap,
  Startable,
  TypedEventTarget
} from '@libp2p/interface'
import { type MulticastDNSComponents, mdns } from '@libp2p/mdns'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Libp2pOptions, ServiceFactoryMap } from 'libp2p'
import { CoterieError } from '../errors.ts'

export interface HostInit<T extends ServiceMap = ServiceMap> {
  privateKey: PrivateKey
  /** Multiaddrs; none: dials only. */
  listen: string[]
  /** Multiaddrs to name to others instead of those listened on. */
  announce?: string[]
  /** Finds, and is found by, nodes of the same cluster on the LAN. */
  mdns?: boolean
  clusterId: string
  /** Listens nowhere, announces nothing. */
  client?: boolean
  /** Peer ids that get no connection. */
  banned?: (peerId: string) => boolean
  /** New connections a second from one address; tests run a cluster on one. */
  inboundConnectionThreshold?: number
  services?: ServiceFactoryMap<T>
}

const KIB = 1024
const MIB = 1024 * KIB

export type HostServices<T extends ServiceMap> = T & { identify: Identify }

export function hostConfig<T extends ServiceMap = Record<never, never>>(
  init: HostInit<T>
): Libp2pOptions<HostServices<T>> {
  const { privateKey, listen, announce = [], clusterId, client = false, banned } = init
  // Other clusters' nodes, and other programs', shall not find this one by accident.
  const label = `coterie-${clusterId.slice(0, 16)}`
  return {
    privateKey,
    addresses: client ? { listen: [] } : { listen, announce },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        // 1,000 by default: memory that one peer may hold.
        maxInboundStreams: 256,
        maxOutboundStreams: 256,
        streamOptions: {
          // 16 MiB and no bound by default. The window must be the same on both sides.
          maxStreamWindowSize: MIB,
          maxWriteBufferLength: 8 * MIB
        }
      })
    ],
    peerDiscovery: init.mdns && !client ? [lanDiscovery(`_${label}._udp.local`)] : [],
    connectionManager: {
      // 10 by default: as many silent sockets would keep everybody out for the upgrade timeout.
      maxIncomingPendingConnections: 128,
      inboundUpgradeTimeout: 3000,
      // 5 by default, per second and address: a rack behind one gateway restarts at once.
      inboundConnectionThreshold: init.inboundConnectionThreshold ?? 50,
      // Addresses are tried one by one.
      addressDialTimeout: 2000,
      dialTimeout: 8000,
      maxPeerAddrsToDial: 8,
      // `peers.ts` reconnects; libp2p gives up after half a minute.
      reconnectRetries: 0
    },
    // A ping that is late on a busy machine is no reason to disconnect (js-libp2p#3463).
    connectionMonitor: { abortConnectionOnPingFailure: false, protocolPrefix: label },
    connectionGater: banned
      ? {
          denyDialPeer: peerId => banned(peerId.toString()),
          denyInboundEncryptedConnection: peerId => banned(peerId.toString()),
          denyDialMultiaddr: () => false
        }
      : // The browser's rules (no private addresses) never apply here.
        { denyDialMultiaddr: () => false },
    services: {
      identify: identify({ protocolPrefix: label }),
      ...init.services
    } as ServiceFactoryMap<HostServices<T>>
  }
}

/**
 * mDNS as a fresh node needs it. It asks only once everything has started: answers come within a millisecond, and the next
 * question is ten seconds off. And it tells of every answer: libp2p itself tells of a peer only when it first hears of it,
 * so one that could not be reached at that moment would never be tried again.
 */
function lanDiscovery(serviceTag: string) {
  return (components: MulticastDNSComponents & { events: TypedEventTarget<Libp2pEvents> }) => {
    const service = mdns({ serviceTag })(components) as PeerDiscovery & Startable
    service.addEventListener('peer', ({ detail }) => components.events.safeDispatchEvent('peer:discovery', { detail }))
    const ask = service.start.bind(service)
    return Object.assign(service, { start: () => {}, afterStart: ask })
  }
}

/**
 * What a person should read when listening failed: `address-in-use` with the address, or `bad-usage` for one that this
 * machine does not have; any other error as it is.
 */
export function explainListenError(error: unknown, listen: string[]): unknown {
  const text = `${(error as Error)?.message}`
  const bad = (codes: string[]) => listen.find(address => codes.some(code => mentions(text, address, code)))
  const taken = bad(['EADDRINUSE'])
  if (taken) {
    const advice = 'stop the process that uses it, or listen on another port'
    return new CoterieError('address-in-use', `${taken} is in use; ${advice}`, { cause: error })
  }
  const wrong = bad(['EADDRNOTAVAIL', 'EACCES', 'UnsupportedListenAddressError'])
  if (wrong) return new CoterieError('bad-usage', `cannot listen on ${wrong} here`, { cause: error })
  return error
}

/** libp2p tells all failures in one text: a line with the address, and its error below it. */
function mentions(text: string, address: string, code: string): boolean {
  const at = text.indexOf(`${address}:`)
  if (at < 0) return false
  const next = text.indexOf('\n  /', at + 1)
  return text.slice(at, next < 0 ? undefined : next).includes(code)
}
