/**
 * What this node says about itself: a draft that changes freely, and the signed record that is made of it at most once a
 * turn. Every change raises `seq`; a change of load alone waits until it is worth the gossip (design §5).
 */
import type { Claim } from '../claim.ts'
import { LEAST_TOLD } from '../heat.ts'
import type { Clock, Log, Signer } from '../ports.ts'
import {
  checkRecord,
  MAX_ADDRESSES,
  type MemberLoad,
  type MemberRecord,
  PROTOCOL_VERSION,
  type SignedRecord,
  signRecord
} from './member-record.ts'

export type OwnChange = Partial<Pick<MemberRecord, 'status' | 'addresses' | 'zone' | 'capacity' | 'load' | 'claims'>>

/** A load this much off the published one is news, … */
export const LOAD_CHANGE = 0.25
/** … but not more often than this, unless the node is set otherwise. */
export const LOAD_INTERVAL_MS = 30_000
/** Changes below these are no news, whatever their share. */
const LOAD_LEAST = { keys: 8, bytes: 64 * 1024, opsPerSecond: 1, work: LEAST_TOLD / 2 }

export interface OwnRecordPorts {
  clock: Pick<Clock, 'monotonicMs'>
  signer: Signer
  log: Pick<Log, 'error'>
}

export class OwnRecord {
  readonly #ports: OwnRecordPorts
  readonly #clusterId: string
  readonly #loadIntervalMs: number
  #draft: MemberRecord
  #dirty = true
  #publishedLoad: MemberLoad
  #loadAtMs = Number.NEGATIVE_INFINITY

  constructor(
    ports: OwnRecordPorts,
    clusterId: string,
    settings: { zone: string; capacity: number; loadIntervalMs?: number }
  ) {
    this.#ports = ports
    this.#clusterId = clusterId
    this.#loadIntervalMs = settings.loadIntervalMs ?? LOAD_INTERVAL_MS
    const load: MemberLoad = { keys: 0, bytes: 0, opsPerSecond: 0 }
    this.#publishedLoad = load
    this.#draft = {
      peerId: ports.signer.peerId,
      incarnation: 0,
      seq: 0,
      instanceId: '0'.repeat(16),
      status: 'joining',
      addresses: [],
      zone: settings.zone,
      capacity: settings.capacity,
      load,
      claims: [],
      protocol: PROTOCOL_VERSION
    }
  }

  /** The draft: as published, or about to be. Never changed in place. */
  get record(): MemberRecord {
    return this.#draft
  }

  /** Starts a life: all that is said from now on beats all that was said before. */
  begin(incarnation: number, instanceId: string): void {
    this.#draft = { ...this.#draft, incarnation, instanceId, seq: 0 }
    this.#dirty = true
  }

  /** True when there is something to publish. Throws `bad-config` for what others would refuse, and changes nothing. */
  update(change: OwnChange): boolean {
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as OwnChange
    if (given.addresses) given.addresses = given.addresses.slice(0, MAX_ADDRESSES)
    const before = this.#draft
    this.#draft = checkRecord({ ...before, ...given })
    // Saying the same again is no news: a quiet cluster sends no records.
    const isNews = (name: string) =>
      name !== 'load' && !isSame(before[name as keyof OwnChange], given[name as keyof OwnChange])
    if (Object.keys(given).some(isNews)) this.#dirty = true
    return this.#dirty || this.loadIsNews()
  }

  /** Whether the load has moved far enough, and the last word on it is old enough. */
  loadIsNews(): boolean {
    const now = this.#ports.clock.monotonicMs()
    if (now - this.#loadAtMs < this.#loadIntervalMs) return false
    const figures = ({ heat, ...load }: MemberLoad) => ({ ...load, work: heat?.work ?? 0 })
    const [draft, published] = [figures(this.#draft.load), figures(this.#publishedLoad)]
    const moved = (name: keyof typeof LOAD_LEAST) => {
      const change = Math.abs(draft[name] - published[name])
      return change >= LOAD_LEAST[name] && change > LOAD_CHANGE * published[name]
    }
    return moved('keys') || moved('bytes') || moved('opsPerSecond') || moved('work')
  }

  /** Signs what has changed; undefined when nothing has. A record too large to travel is logged; the last one stays. */
  publish(): { record: MemberRecord; signed: SignedRecord } | undefined {
    if (!this.#dirty && !this.loadIsNews()) return undefined
    this.#dirty = false
    const record = { ...this.#draft, seq: this.#draft.seq + 1 }
    try {
      const signed = signRecord(record, this.#clusterId, this.#ports.signer)
      this.#draft = record
      this.#publishedLoad = record.load
      this.#loadAtMs = this.#ports.clock.monotonicMs()
      return { record, signed }
    } catch (error) {
      this.#ports.log.error('the own member record cannot be published; others keep the last one', {
        error: String(error)
      })
      return undefined
    }
  }
}

/** Equal as far as a record tells: claims by range, epoch and owner, for which there is one grant. */
function isSame(a: OwnChange[keyof OwnChange], b: OwnChange[keyof OwnChange]): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b
  const text = (item: string | Claim) => (typeof item === 'string' ? item : `${item.range} ${item.epoch} ${item.owner}`)
  return a.length === b.length && a.every((item, i) => text(item) === text(b[i]))
}
