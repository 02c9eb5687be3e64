/**
 * From an address or a peer id to an admitted connection: one dial at a time for each, bounded in time, each failure told
 * in a sentence that names who and why.
 */
import type { Connection } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { CoterieError, isCoterieError } from '../errors.ts'
import type { Timers } from '../ports.ts'
import type { Admission } from './admission.ts'
import type { NetworkComponents } from './components.ts'
import { withDeadline } from './streams.ts'

/** All addresses of one peer together; libp2p tries them one after another. */
export const DIAL_TIMEOUT_MS = 8000
/** Addresses of one peer that are tried: poisoned address lists cost no more than this (failures 52). */
export const MAX_ADDRESSES = 8

export interface DialerInit {
  components: Pick<NetworkComponents, 'connectionManager' | 'peerId'>
  admission: Admission
  timers: Timers
  learned?: (peerId: string, addresses: string[]) => void
}

export class Dialer {
  readonly #init: DialerInit

  constructor(init: DialerInit) {
    this.#init = init
  }

  /** Connects to a peer at any of these addresses (none: wherever libp2p remembers it) and has the connection admitted. */
  async dialPeer(peerId: string, addresses: string[]): Promise<Connection> {
    const known = addresses.slice(0, MAX_ADDRESSES).flatMap(address => withPeerId(address, peerId) ?? [])
    const target = known.length > 0 ? known : peerIdOf(peerId)
    return this.#dial(target, known.length > 0 ? `${peerId} at ${known.length} address(es)` : peerId)
  }

  /** Connects to whoever answers at one address. Throws `bad-usage` for what is no multiaddr. */
  async dialAddress(address: string): Promise<Connection> {
    return this.#dial(parseAddress(address), address)
  }

  async #dial(
    target: Parameters<NetworkComponents['connectionManager']['openConnection']>[0],
    what: string
  ): Promise<Connection> {
    const { components, admission, timers, learned } = this.#init
    const before = new Set(components.connectionManager.getConnections())
    let connection: Connection
    try {
      connection = await withDeadline(timers, DIAL_TIMEOUT_MS, `dialling ${what}`, signal =>
        components.connectionManager.openConnection(target, { signal })
      )
    } catch (cause) {
      const why = isCoterieError(cause) ? cause.message : reasonOf(cause)
      throw new CoterieError('unreachable', `cannot connect to ${what}: ${why}`, { cause })
    }
    try {
      const { peerId } = await admission.admit(connection)
      if (connection.direction === 'outbound') learned?.(peerId, [connection.remoteAddr.toString()])
      return connection
    } catch (error) {
      this.#giveUp(connection, !before.has(connection), error as CoterieError)
      throw error
    }
  }

  /** A dead connection would be handed out again by the next dial; one made for nothing but us is of no more use. */
  #giveUp(connection: Connection, isOurs: boolean, error: CoterieError): void {
    if (isCoterieError(error, 'timeout')) connection.abort(error)
    else if (isOurs) connection.close().catch(() => connection.abort(error))
  }
}

/** Throws `bad-usage`. */
export function parseAddress(address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (cause) {
    const example = '/ip4/192.0.2.1/tcp/4270'
    throw new CoterieError('bad-usage', `"${address}" is no multiaddr; one looks like ${example}`, { cause })
  }
}

/** The peer id at the end of an address. */
export function peerIdIn(address: Multiaddr): string | undefined {
  return address.getComponents().findLast(component => component.code === CODE_P2P)?.value
}

/** The address with this peer id behind it; undefined when it is no address, or another peer's. */
function withPeerId(address: string, peerId: string): Multiaddr | undefined {
  try {
    const parsed = multiaddr(address)
    const named = peerIdIn(parsed)
    if (named !== undefined) return named === peerId ? parsed : undefined
    return parsed.encapsulate(`/p2p/${peerId}`)
  } catch {
    // Addresses come from records of others: one that cannot be read is one that cannot be dialled.
    return undefined
  }
}

export function peerIdOf(peerId: string) {
  try {
    return peerIdFromString(peerId)
  } catch (cause) {
    throw new CoterieError('bad-usage', `"${peerId}" is no peer id`, { cause })
  }
}

/** libp2p gathers the failures of several addresses; the first says most. */
function reasonOf(cause: unknown): string {
  // libp2p also rejects with the `close` event itself.
  if (!(cause instanceof Error)) return 'the connection closed'
  const { errors, message, name } = cause as AggregateError
  const first = errors?.[0] as Error | undefined
  return first ? `${first.message} (and ${errors.length - 1} more)` : message || name
}
