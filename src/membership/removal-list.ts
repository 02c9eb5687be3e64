/**
 * Removals on disk, in `removals.json`: they are kept for ever (design §5), so that a cluster that restarts as a whole still
 * refuses those that it removed (failures 35).
 */
import type { FileIo, Log } from '../ports.ts'
import type { SignedRecord } from './member-record.ts'

export interface RemovalListPorts {
  files: Pick<FileIo, 'readFile' | 'replaceFile' | 'rename'>
  log: Pick<Log, 'warn' | 'error'>
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const fromBase64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

export class RemovalList {
  readonly #ports: RemovalListPorts
  readonly #path: string
  #writing: Promise<void> = Promise.resolve()

  constructor(ports: RemovalListPorts, dir: string) {
    this.#ports = ports
    this.#path = `${dir}/removals.json`
  }

  /**
   * Signed removals as they were gossiped; the table checks them again. A damaged file is put aside with a warning.
   * Throws Node's error when the file cannot be read.
   */
  async load(): Promise<SignedRecord[]> {
    const content = await this.#ports.files.readFile(this.#path)
    if (!content) return []
    try {
      const { removals } = JSON.parse(new TextDecoder().decode(content)) as { removals: [string, string][] }
      return removals.map(([body, signature]) => ({
        body: fromBase64(body),
        signature: fromBase64(signature),
        removal: true
      }))
    } catch (error) {
      const aside = `${this.#path}.damaged`
      await this.#ports.files.rename(this.#path, aside)
      this.#ports.log.warn('the list of removals is damaged; it is kept aside and learned again from the cluster', {
        path: aside,
        error: String(error)
      })
      return []
    }
  }

  /** Writes the whole list, after the writes asked for before. Never rejects: a failure is logged. */
  save(removals: SignedRecord[]): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(removals))
    return this.#writing
  }

  /** Resolves when nothing is being written. */
  settled(): Promise<void> {
    return this.#writing
  }

  async #write(removals: SignedRecord[]): Promise<void> {
    const list = removals.map(({ body, signature }) => [base64(body), base64(signature)])
    const text = JSON.stringify({ version: 1, removals: list }, null, 1)
    try {
      await this.#ports.files.replaceFile(this.#path, new TextEncoder().encode(`${text}\n`))
    } catch (error) {
      // They are in memory and with the others; the next removal writes the whole list again.
      this.#ports.log.error('the list of removals could not be written', { path: this.#path, error: String(error) })
    }
  }
}
