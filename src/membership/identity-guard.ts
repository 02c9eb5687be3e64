/**
 * Guards this node's identity (design §5, failures 39–41). It begins each life above all earlier ones; when the cluster
 * remembers a later life than this directory does (disk lost, restored, copied), it goes above that; when the other life
 * turns out to be running, the one with the higher instance id stops.
 */
import { CoterieError } from '../errors.ts'
import type { FileIo, Log, Random } from '../ports.ts'
import { raiseIncarnation } from './incarnation.ts'
import type { MemberRecord } from './member-record.ts'
import type { OwnRecord } from './own-record.ts'

/**
 * Records of the same other instance, each above our last incarnation, after which it must be running: the first may be
 * what the cluster remembers, and a second a memory of the same life that was slow to arrive.
 */
export const RIVAL_MEETINGS = 3

export interface IdentityGuardPorts {
  files: Pick<FileIo, 'readFile' | 'replaceFile'>
  random: Pick<Random, 'bytes'>
  log: Pick<Log, 'warn' | 'error'>
}

export interface IdentityGuardInit {
  dir: string
  own: OwnRecord
  /** Publishes the own record, which has begun a new life. */
  publish(): void
  onOvertaken(remembered: MemberRecord): void
  /** This process must stop. */
  onConflict(error: CoterieError): void
}

export class IdentityGuard {
  readonly #ports: IdentityGuardPorts
  readonly #init: IdentityGuardInit
  /** How often each other instance was met. */
  readonly #rivals = new Map<string, number>()
  #overtaking: Promise<void> | undefined

  constructor(ports: IdentityGuardPorts, init: IdentityGuardInit) {
    this.#ports = ports
    this.#init = init
  }

  /** Starts a life: a new instance, its incarnation on disk. Throws Node's errors for the file. */
  async begin(): Promise<void> {
    const incarnation = await raiseIncarnation(this.#ports.files, this.#init.dir, { log: this.#ports.log })
    this.#init.own.begin(incarnation, this.#newInstanceId())
  }

  /** Someone else spoke, with a genuine signature, as this node. Met again while it is being overtaken: the same news. */
  meet(foreign: MemberRecord): void {
    if (this.#overtaking) return
    const own = this.#init.own.record
    const meetings = (this.#rivals.get(foreign.instanceId) ?? 0) + 1
    this.#rivals.set(foreign.instanceId, meetings)
    if (meetings >= RIVAL_MEETINGS && own.instanceId > foreign.instanceId) {
      this.#init.onConflict(
        new CoterieError(
          'refused',
          `another process runs with the identity of this node (${own.peerId}), most likely from a copy of its ` +
            'directory; this one stops. Give every node a directory of its own'
        )
      )
      return
    }
    this.#overtaking = this.#overtake(foreign).finally(() => (this.#overtaking = undefined))
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#overtaking
  }

  async #overtake(foreign: MemberRecord): Promise<void> {
    const { files, log } = this.#ports
    const own = this.#init.own.record
    log.warn('the cluster remembers another life of this node; going above it', {
      remembered: foreign.incarnation,
      own: own.incarnation,
      instance: foreign.instanceId
    })
    try {
      const incarnation = await raiseIncarnation(files, this.#init.dir, { atLeast: foreign.incarnation + 1, log })
      // The same instance id: a copy of this very process (a virtual machine's snapshot). It must tell itself apart.
      const twin = foreign.instanceId === own.instanceId
      this.#init.own.begin(incarnation, twin ? this.#newInstanceId() : own.instanceId)
      this.#init.publish()
      this.#init.onOvertaken(foreign)
    } catch (error) {
      // The record will be heard again, and then this is tried again.
      log.error('this node could not go above its remembered life', { error: String(error) })
    }
  }

  #newInstanceId(): string {
    return Array.from(this.#ports.random.bytes(8), byte => byte.toString(16).padStart(2, '0')).join('')
  }
}
