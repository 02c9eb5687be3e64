/** What an operator tells a node to do with its cluster: `coterie leave`, `coterie remove`, `coterie accept-loss`. */
import { CoterieError } from './errors.ts'
import type { Membership } from './membership/membership.ts'
import type { Request } from './messages.ts'
import type { Leaver } from './repair/leaver.ts'
import type { Losses } from './repair/losses.ts'

type Manage = Extract<Request, { type: 'manage' }>

export class Manager {
  readonly #membership: Membership
  readonly #leaver: Leaver
  readonly #losses: Losses
  readonly #onChange: () => void

  /** `onChange`: what others are told, and what this node does, has changed. */
  constructor(parts: { membership: Membership; leaver: Leaver; losses: Losses }, init: { onChange: () => void }) {
    this.#membership = parts.membership
    this.#leaver = parts.leaver
    this.#losses = parts.losses
    this.#onChange = init.onChange
  }

  /**
   * Throws `refused` with the reason, `bad-usage` for a peer that is no member, and `disk-full` or `internal` where the disk does
   * not take what is to be remembered.
   */
  async manage({ action, peerId, ranges, force }: Manage, timeoutMs: number): Promise<void> {
    if (action === 'leave') await this.#leaver.begin(force)
    else if (action === 'remove') await this.#remove(peerId, force)
    else await this.#losses.accept([...new Set(ranges)], { force, timeoutMs })
    this.#onChange()
  }

  async #remove(peerId: string, force: boolean): Promise<void> {
    // Once more: what the disk refused the last time is written now.
    if (this.#membership.isRemoved(peerId)) return this.#membership.remove(peerId)
    const member = this.#membership.member(peerId)
    if (member === undefined && !this.#membership.addressBook.peers().includes(peerId))
      throw new CoterieError('bad-usage', `${peerId} is no member of this cluster; coterie members lists them`)
    if (member?.verdict === 'up' && member.record.status !== 'left' && !force)
      throw new CoterieError(
        'refused',
        `${peerId} is alive: let it leave (coterie leave), or force its removal, which is final and takes its copies away`
      )
    await this.#membership.remove(peerId)
  }
}
