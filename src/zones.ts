/**
 * In which zone each member is, as far as this node has heard, kept on disk (`zones.json`). Preference lists depend on
 * it: a node that starts again while others are down must work out the lists that everybody else goes by.
 */
import type { FileIo, Log } from './ports.ts'
import { WholeFile } from './whole-file.ts'

const FILE = 'zones.json'

export class Zones {
  readonly #files: FileIo
  readonly #log: Log
  readonly #file: WholeFile
  /** Members without one are not in it. */
  readonly #zones = new Map<string, string>()

  constructor({ files, log }: { files: FileIo; log: Log }, { dir }: { dir: string }) {
    this.#files = files
    this.#log = log
    this.#file = new WholeFile(files, `${dir}/${FILE}`, () => this.#encode())
  }

  /** What an earlier run has heard. A file that cannot be read says nothing: it is heard again. */
  async open(): Promise<void> {
    const bytes = await this.#files.readFile(this.#file.path)
    if (bytes === undefined) return
    try {
      const { zones } = JSON.parse(new TextDecoder().decode(bytes)) as { zones: Record<string, string> }
      for (const [peerId, zone] of Object.entries(zones)) {
        if (typeof zone === 'string' && !this.#zones.has(peerId)) this.#zones.set(peerId, zone)
      }
    } catch (error) {
      this.#log.warn('the zones on disk cannot be read; they are heard again from the members', {
        file: this.#file.path,
        error: String(error)
      })
    }
  }

  /** '' where nothing is known. */
  of(peerId: string): string {
    return this.#zones.get(peerId) ?? ''
  }

  /** True when that is news. It is written down behind the call; after a failed write, with the next news. */
  learn(peerId: string, zone: string): boolean {
    if (this.of(peerId) === zone) return false
    if (zone === '') this.#zones.delete(peerId)
    else this.#zones.set(peerId, zone)
    this.#file.write().catch(error => this.#log.warn('the zones could not be written', { error: String(error) }))
    return true
  }

  #encode(): Uint8Array {
    return new TextEncoder().encode(`${JSON.stringify({ zones: Object.fromEntries(this.#zones) })}\n`)
  }
}
