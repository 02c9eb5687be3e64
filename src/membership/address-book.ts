/**
 * Which addresses a peer was last known under, kept on disk: a node that restarts finds its cluster with every seed gone
 * (failures 28, 38). Fed by gossiped records and by the host. Bounded per peer and in all.
 */
import type { FileIo, Log, Timer, Timers } from '../ports.ts'
import { isPeerId, MAX_ADDRESS_BYTES } from './member-record.ts'

/** The dialler tries no more of them (`maxPeerAddrsToDial`). */
export const MAX_ADDRESSES_PER_PEER = 8
/** Four times the largest cluster meant; the least recently learned go first. */
export const MAX_BOOK_PEERS = 4096
/** Addresses come in bursts: wait this long for the rest before writing. */
const WRITE_DELAY_MS = 1000

export interface AddressBookPorts {
  files: Pick<FileIo, 'readFile' | 'replaceFile' | 'rename'>
  timers: Pick<Timers, 'after'>
  log: Pick<Log, 'warn'>
}

export class AddressBook {
  readonly #ports: AddressBookPorts
  readonly #path: string
  /** In the order of learning, oldest first. */
  readonly #peers = new Map<string, string[]>()
  #timer?: Timer
  #writing: Promise<void> = Promise.resolve()
  #dirty = false

  constructor(ports: AddressBookPorts, dir: string) {
    this.#ports = ports
    this.#path = `${dir}/peers.json`
  }

  /** Reads the file. A damaged one is put aside as `peers.json.damaged`, with a warning, and the book starts empty. */
  async load(): Promise<void> {
    const content = await this.#ports.files.readFile(this.#path)
    if (!content) return
    try {
      const { peers } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content)) as { peers: unknown }
      for (const [peerId, addresses] of peers as [string, string[]][]) this.#add(peerId, addresses)
    } catch (error) {
      const aside = `${this.#path}.damaged`
      this.#peers.clear()
      await this.#ports.files.rename(this.#path, aside)
      this.#ports.log.warn('the address book is damaged; it starts empty and the old one is kept', {
        path: aside,
        error: String(error)
      })
    }
    this.#dirty = false
  }

  /** Most recently learned first; `[]` for strangers. */
  addressesOf(peerId: string): string[] {
    return [...(this.#peers.get(peerId) ?? [])]
  }

  peers(): string[] {
    return [...this.#peers.keys()]
  }

  /** Puts addresses in front of those already known for the peer; the last ones beyond the bound are dropped. */
  learn(peerId: string, addresses: string[]): void {
    if (this.#add(peerId, addresses)) this.#schedule()
  }

  forget(peerId: string): void {
    if (this.#peers.delete(peerId)) this.#schedule()
  }

  /** Writes what is not written yet. A failed write is logged and tried again with the next change. */
  async flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
  }

  /** True when the book changed. Throws TypeError for what is no list (a damaged file). */
  #add(peerId: string, addresses: string[]): boolean {
    const usable = addresses.filter(text => typeof text === 'string' && text !== '' && text.length <= MAX_ADDRESS_BYTES)
    if (!isPeerId(peerId) || usable.length === 0) return false
    const before = this.#peers.get(peerId)
    const after = [...new Set([...usable, ...(before ?? [])])].slice(0, MAX_ADDRESSES_PER_PEER)
    if (before && before.length === after.length && before.every((text, i) => text === after[i])) return false
    this.#peers.delete(peerId)
    this.#peers.set(peerId, after)
    if (this.#peers.size > MAX_BOOK_PEERS) this.#peers.delete(this.#peers.keys().next().value!)
    return (this.#dirty = true)
  }

  #schedule(): void {
    this.#dirty = true
    this.#timer ??= this.#ports.timers.after(WRITE_DELAY_MS, () => {
      // `flush` reports its own failures.
      void this.flush()
    })
  }

  async #write(): Promise<void> {
    if (!this.#dirty) return
    this.#dirty = false
    try {
      const text = JSON.stringify({ version: 1, peers: [...this.#peers] }, null, 1)
      await this.#ports.files.replaceFile(this.#path, new TextEncoder().encode(`${text}\n`))
    } catch (error) {
      this.#dirty = true
      this.#ports.log.warn('the address book could not be written; it stays in memory', {
        path: this.#path,
        error: String(error)
      })
    }
  }
}
