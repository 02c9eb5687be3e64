/**
 * Removals on disk, in `removals.json`: they are kept for ever (design §5), so that a cluster that restarts as a whole still
 * refuses those that it removed (failures 35).
 */
import { CoterieError } from '../errors.ts'
import type { FileIo, Log } from '../ports.ts'
import { codeOf, isDiskFull } from '../system-error.ts'
import { WholeFile } from '../whole-file.ts'
import type { SignedRecord } from './member-record.ts'

export interface RemovalListPorts {
  files: FileIo
  log: Pick<Log, 'warn' | 'error'>
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

export class RemovalList {
  readonly #ports: RemovalListPorts
  readonly #file: WholeFile

  /** `removals`: all that are known, as they were gossiped. */
  constructor(ports: RemovalListPorts, dir: string, removals: () => SignedRecord[]) {
    this.#ports = ports
    this.#file = new WholeFile(ports.files, `${dir}/removals.json`, () => encode(removals()))
  }

  /**
   * Signed removals as they were gossiped; the table checks them again. A damaged file is put aside with a warning.
   * Throws Node's error when the file cannot be read.
   */
  async load(): Promise<SignedRecord[]> {
    const content = await this.#ports.files.readFile(this.#file.path)
    if (!content) return []
    try {
      const { removals } = JSON.parse(new TextDecoder().decode(content)) as { removals: [string, string][] }
      return removals.map(([body, signature]) => ({
        body: fromBase64(body),
        signature: fromBase64(signature),
        removal: true
      }))
    } catch (error) {
      const aside = `${this.#file.path}.damaged`
      await this.#ports.files.rename(this.#file.path, aside)
      this.#ports.log.warn('the list of removals is damaged; it is kept aside and learned again from the cluster', {
        path: aside,
        error: String(error)
      })
      return []
    }
  }

  /** Writes the whole list. A failure is logged: the removals are in memory, and the others are told. */
  save(): void {
    this.#file.write().catch(error => this.#warn(error))
  }

  /**
   * Resolves when all that were saved so far are on disk. A write that failed is done again: there may be room by now. Throws
   * `disk-full` where there is none, and `internal` for what else keeps the disk from it.
   */
  async kept(): Promise<void> {
    try {
      await this.#file.written()
    } catch (error) {
      throw new CoterieError(
        isDiskFull(error) ? 'disk-full' : 'internal',
        `it is removed, and the others are told, but this node could not write that to ${this.#file.path} (${codeOf(error)}) and forgets it when it is restarted, until another one tells it: mend that, and ask once more`,
        { cause: error }
      )
    }
  }

  /** Resolves when nothing is being written. A write that failed is tried once more. */
  async settled(): Promise<void> {
    await this.#file.written().catch(error => this.#warn(error))
  }

  #warn(error: unknown): void {
    this.#ports.log.error('the list of removals could not be written', { path: this.#file.path, error: String(error) })
  }
}

function encode(removals: readonly SignedRecord[]): Uint8Array {
  const list = removals.map(({ body, signature }) => [base64(body), base64(signature)])
  return new TextEncoder().encode(`${JSON.stringify({ version: 1, removals: list }, null, 1)}\n`)
}
