/**
 * Gives up connections that are dead without saying so: something was asked on one, nothing came back. TCP alone takes a
 * quarter of an hour, and after a partition a new connection is faster than the old one's retransmissions.
 */
import type { Connection } from '@libp2p/interface'
import { CoterieError } from '../errors.ts'
import type { Clock, Log } from '../ports.ts'

/** Longer than a pause of the other side's event loop that is still survived (failures 33). */
export const SILENCE_MS = 20_000

export class Liveness {
  readonly #clock: Clock
  readonly #log: Log
  /** When the first thing was asked since anything came. */
  readonly #askedMs = new WeakMap<Connection, number>()

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.#clock = clock
    this.#log = log
  }

  asked(connection: Connection): void {
    if (!this.#askedMs.has(connection)) this.#askedMs.set(connection, this.#clock.monotonicMs())
  }

  heard(connection: Connection): void {
    this.#askedMs.delete(connection)
  }

  /** Something timed out. One slow answer means nothing; a long silence means that the connection is dead. */
  timedOut(connection: Connection): void {
    const askedMs = this.#askedMs.get(connection)
    if (askedMs === undefined || this.#clock.monotonicMs() - askedMs < SILENCE_MS) return
    const seconds = SILENCE_MS / 1000
    this.#log.warn(`nothing came from ${connection.remotePeer} for ${seconds} s; giving the connection up`)
    connection.abort(new CoterieError('timeout', `nothing came for ${seconds} s`))
  }
}
