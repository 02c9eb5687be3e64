/** What members say of the copies that they hold: each is asked once for all its ranges. */
import type { CopyStatus } from '../messages.ts'
import { expectAnswer, type Peers } from './peers.ts'

export class CopyStatuses {
  readonly #statuses = new Map<string, CopyStatus>()

  /** Undefined: it was not asked. `none` of one that did not say. */
  of(member: string, range: number): CopyStatus | undefined {
    return this.#statuses.get(`${member} ${range}`)
  }

  /** Asks all of them at once. `onSilent` is told of those that do not answer. */
  async ask(
    peers: Pick<Peers, 'call'>,
    byMember: ReadonlyMap<string, readonly number[]>,
    { timeoutMs, onSilent }: { timeoutMs: number; onSilent: (member: string, error: unknown) => void }
  ): Promise<void> {
    await Promise.all(
      [...byMember].map(async ([member, ranges]) => {
        for (const range of ranges) this.#statuses.set(`${member} ${range}`, 'none')
        try {
          const answer = await peers.call(member, { type: 'copies', ranges: [...ranges] }, { timeoutMs })
          for (const { range, status } of expectAnswer(answer, 'copies').copies)
            this.#statuses.set(`${member} ${range}`, status)
        } catch (error) {
          onSilent(member, error)
        }
      })
    )
  }
}
