/**
 * What a node knows of all members: the newest signed record and pulse of each, and the pure half of gossip: digests and
 * their comparison. (incarnation, seq) orders records, (incarnation, pulse) orders heartbeats; whatever is older, forged
 * or of another cluster changes nothing and is counted. Nobody but the node itself raises its own version (design §5).
 */
import { hash } from 'node:crypto'
import type { Signer } from '../ports.ts'
import {
  DIGEST_OVERHEAD,
  type Digest,
  type DigestEntry,
  entryBytes,
  LAST_PREFIX,
  type Prefix,
  type Pulse
} from './gossip-messages.ts'
import { type MemberRecord, type RefusalReason, readRecord, type SignedRecord, verifyRecord } from './member-record.ts'
import { REMOVED_INCARNATION, type Removal, readRemoval, verifyRemoval } from './removal.ts'

export interface TableEntry {
  readonly peerId: string
  readonly prefix: Prefix
  record?: MemberRecord
  /** Set: barred for good; `record` is what it last said, if that was ever heard. */
  removal?: Removal
  signed: SignedRecord
  incarnation: number
  seq: number
  pulse: number
}

export type Applied =
  | { outcome: 'newer'; entry: TableEntry; previous?: MemberRecord }
  | { outcome: 'removed'; entry: TableEntry }
  /** A record of this node's own peer id that it did not just publish (`Membership` decides what that means). */
  | { outcome: 'own'; record: MemberRecord }
  | { outcome: 'stale' }
  | { outcome: 'rejected'; reason: RefusalReason | 'full' }

export interface Comparison {
  /** Entries that are newer here than in the digest, or not in it at all. */
  newer: TableEntry[]
  pulses: Pulse[]
  /** Ids whose records are newer there. */
  wants: Prefix[]
}

/** Ten times the largest cluster meant (design §12): a bound on memory, never a limit met. */
const MAX_TABLE_ENTRIES = 10_000

export function prefixOf(peerId: string): Prefix {
  return hash('sha256', peerId, 'buffer').readBigUInt64LE(0)
}

const isNewer = (a: { incarnation: number; seq: number }, b: { incarnation: number; seq: number }) =>
  a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.seq > b.seq)

const beatsLater = (a: Pulse, b: Pulse) =>
  a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.pulse > b.pulse)

export class MemberTable {
  readonly self: string
  readonly counters = { newer: 0, stale: 0, rejected: 0 }
  readonly #clusterId: string
  readonly #signer: Pick<Signer, 'verify'>
  readonly #byPeer = new Map<string, TableEntry>()
  readonly #byPrefix = new Map<Prefix, TableEntry>()
  /** By prefix, ascending: what a digest's borders speak of. */
  readonly #sorted: TableEntry[] = []
  /** Where the next digest starts when one message does not hold all. */
  #nextFrom: Prefix = 0n

  constructor(clusterId: string, signer: Pick<Signer, 'peerId' | 'verify'>) {
    this.self = signer.peerId
    this.#clusterId = clusterId
    this.#signer = signer
  }

  get size(): number {
    return this.#sorted.length
  }

  entries(): IterableIterator<TableEntry> {
    return this.#byPeer.values()
  }

  get(peerId: string): TableEntry | undefined {
    return this.#byPeer.get(peerId)
  }

  at(prefix: Prefix): TableEntry | undefined {
    return this.#byPrefix.get(prefix)
  }

  /** This node's own new record, signed by itself. A higher incarnation starts its pulse again. */
  publish(record: MemberRecord, signed: SignedRecord): void {
    const entry = this.#byPeer.get(this.self)
    if (entry?.removal) return
    this.#put(record.peerId, signed, record)
  }

  /** Raises this node's own pulse by one. */
  beat(): void {
    const entry = this.#byPeer.get(this.self)
    if (entry) entry.pulse++
  }

  /** Takes in what another node sent, if it is newer and genuine. Never throws. */
  apply(signed: SignedRecord): Applied {
    const applied = signed.removal ? this.#applyRemoval(signed) : this.#applyRecord(signed)
    if (applied.outcome === 'removed' || applied.outcome === 'newer') this.counters.newer++
    else if (applied.outcome !== 'own') this.counters[applied.outcome]++
    return applied
  }

  #applyRecord(signed: SignedRecord): Applied {
    const read = readRecord(signed)
    if (!read.ok) return { outcome: 'rejected', reason: read.reason }
    const { record } = read
    const known = this.#byPeer.get(record.peerId)
    const own = record.peerId === this.self
    // Old news need no signature check (119 µs each). Of our own id, another instance's equal version is news too.
    const stale = known !== undefined && !isNewer(record, known)
    if (stale && !(own && record.incarnation === known.incarnation && record.instanceId !== known.record?.instanceId)) {
      return { outcome: 'stale' }
    }
    if (!verifyRecord(record, signed, this.#clusterId, this.#signer))
      return { outcome: 'rejected', reason: 'signature' }
    if (own) return { outcome: 'own', record }
    if (!known && !this.#hasRoom(record.peerId)) return { outcome: 'rejected', reason: 'full' }
    const previous = known?.record
    return { outcome: 'newer', entry: this.#put(record.peerId, signed, record), previous }
  }

  #applyRemoval(signed: SignedRecord): Applied {
    const read = readRemoval(signed)
    if (!read.ok) return { outcome: 'rejected', reason: read.reason }
    const { removal } = read
    if (this.#byPeer.get(removal.peerId)?.removal) return { outcome: 'stale' }
    if (!verifyRemoval(removal, signed, this.#clusterId, this.#signer)) {
      return { outcome: 'rejected', reason: 'signature' }
    }
    if (!this.#byPeer.has(removal.peerId) && !this.#hasRoom(removal.peerId)) {
      return { outcome: 'rejected', reason: 'full' }
    }
    const entry = this.#put(removal.peerId, signed)
    entry.removal = removal
    return { outcome: 'removed', entry }
  }

  /** Also refuses a second id with the same prefix, which no one will ever find. */
  #hasRoom(peerId: string): boolean {
    return this.#sorted.length < MAX_TABLE_ENTRIES && !this.#byPrefix.has(prefixOf(peerId))
  }

  /** `record` absent: a removal. */
  #put(peerId: string, given: SignedRecord, record?: MemberRecord): TableEntry {
    // Copies: views would keep whole messages in memory.
    const signed: SignedRecord = { body: new Uint8Array(given.body), signature: new Uint8Array(given.signature) }
    if (given.removal) signed.removal = true
    const { incarnation, seq } = record ?? { incarnation: REMOVED_INCARNATION, seq: 0 }
    const known = this.#byPeer.get(peerId)
    if (known) {
      if (known.incarnation !== incarnation) known.pulse = 0
      return Object.assign(known, { signed, incarnation, seq, record: record ?? known.record })
    }
    const entry: TableEntry = { peerId, prefix: prefixOf(peerId), record, signed, incarnation, seq, pulse: 0 }
    this.#byPeer.set(peerId, entry)
    this.#byPrefix.set(entry.prefix, entry)
    this.#sorted.splice(this.#indexFrom(entry.prefix), 0, entry)
    return entry
  }

  /** Index of the first entry at or after `prefix`. */
  #indexFrom(prefix: Prefix): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]!.prefix < prefix) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * The versions known, in at most `maxBytes` of message. When they do not fit, one slice of them: the next digest goes
   * on where this one ends, so that all get their turn. This node's own entry is always there.
   */
  digest(maxBytes: number): Digest {
    const own = this.#byPeer.get(this.self)
    let room = maxBytes - DIGEST_OVERHEAD - (own ? entryBytes(own) : 0)
    const from = this.#fits(room) ? 0n : this.#nextFrom
    const entries: DigestEntry[] = own ? [toEntry(own)] : []
    let to = LAST_PREFIX
    for (let i = this.#indexFrom(from); i < this.#sorted.length; i++) {
      const entry = this.#sorted[i]!
      const bytes = entry === own ? 0 : entryBytes(entry)
      if (bytes > room) {
        to = entry.prefix - 1n
        break
      }
      room -= bytes
      if (entry !== own) entries.push(toEntry(entry))
    }
    this.#nextFrom = to === LAST_PREFIX ? 0n : to + 1n
    return { from, to, entries }
  }

  #fits(room: number): boolean {
    let bytes = 0
    for (const entry of this.#sorted) if ((bytes += entryBytes(entry)) > room) return false
    return true
  }

  compare(digest: Digest): Comparison {
    const result: Comparison = { newer: [], pulses: [], wants: [] }
    const listed = new Set<Prefix>()
    for (const theirs of digest.entries) {
      listed.add(theirs.prefix)
      const ours = this.#byPrefix.get(theirs.prefix)
      if (!ours || isNewer(theirs, ours)) {
        result.wants.push(theirs.prefix)
        continue
      }
      if (isNewer(ours, theirs)) result.newer.push(ours)
      if (beatsLater(ours, theirs)) result.pulses.push(toPulse(ours))
      // A heartbeat of ours that we never made: somebody else runs with our identity. Ask for its record.
      else if (ours.peerId === this.self && beatsLater(theirs, ours)) result.wants.push(theirs.prefix)
    }
    for (let i = this.#indexFrom(digest.from); i < this.#sorted.length; i++) {
      const ours = this.#sorted[i]!
      if (ours.prefix > digest.to) break
      if (listed.has(ours.prefix)) continue
      result.newer.push(ours)
      result.pulses.push(toPulse(ours))
    }
    return result
  }

  /** Takes in heartbeats; returns the peers whose heart was heard to beat again. */
  hear(pulses: Pulse[]): string[] {
    const heard: string[] = []
    for (const pulse of pulses) {
      const ours = this.#byPrefix.get(pulse.prefix)
      // A pulse of an incarnation whose record is not here says nothing about the record that is.
      if (!ours || ours.peerId === this.self || ours.incarnation !== pulse.incarnation) continue
      if (pulse.pulse <= ours.pulse) continue
      ours.pulse = pulse.pulse
      heard.push(ours.peerId)
    }
    return heard
  }
}

const toEntry = ({ prefix, incarnation, seq, pulse }: TableEntry): DigestEntry => ({ prefix, incarnation, seq, pulse })
const toPulse = ({ prefix, incarnation, pulse }: TableEntry): Pulse => ({ prefix, incarnation, pulse })
