/**
 * Goes through a journal and knows, at every point of it, what is durable and what is not: a power cut keeps the durable
 * part and any selection of the rest, sector by sector, entry by entry. A sector of a file reaches the disk whole, as the
 * page cache had it at some time; sizes and contents reach it apart.
 */
import { type Image, type JournalOp, truncated, written } from './journal-files.ts'

export type DataOp = Extract<JournalOp, { kind: 'write' | 'truncate' }>
export type EntryOp = Extract<JournalOp, { kind: 'create' | 'rename' | 'unlink' }>

/** What is kept of an unsynced change to a file: of a write some sectors (numbered in the file); `grown`: the size at least. */
export interface Kept {
  sectors: 'all' | Set<number>
  grown: boolean
}

/** The unsynced changes that a cut leaves; those not named are lost. */
export interface Selection {
  data: Map<DataOp, Kept>
  entries: Set<EntryOp>
}

interface Pending {
  op: DataOp
  /** The file's content right after it. */
  after: Uint8Array
}

interface Inode {
  durable: Uint8Array
  /** Oldest first. */
  pending: Pending[]
}

export class DiskReplay {
  readonly sectorBytes: number
  readonly #inodes = new Map<number, Inode>()
  readonly #durableEntries = new Map<string, number>()
  #pendingEntries: EntryOp[] = []

  constructor(base: Image, sectorBytes: number) {
    this.sectorBytes = sectorBytes
    let inode = 1
    for (const [path, bytes] of base) {
      this.#durableEntries.set(path, inode)
      this.#inodes.set(inode++, { durable: bytes, pending: [] })
    }
  }

  get pendingEntries(): readonly EntryOp[] {
    return this.#pendingEntries
  }

  /** Unsynced changes of all files that are reachable by some name, oldest first. */
  pendingData(): DataOp[] {
    const ops: DataOp[] = []
    for (const inode of this.#reachable()) for (const { op } of this.#inodes.get(inode)!.pending) ops.push(op)
    return ops.sort((a, b) => a.at - b.at)
  }

  /** How much of a file is certain to last. */
  durableBytes(path: string): number {
    const inode = this.#durableEntries.get(path)
    if (inode === undefined) return 0
    const { durable, pending } = this.#inodes.get(inode)!
    // What is being cut off is nobody's any more.
    return pending.reduce(
      (least, { op }) => (op.kind === 'truncate' ? Math.min(least, op.length) : least),
      durable.length
    )
  }

  apply(op: JournalOp): void {
    switch (op.kind) {
      case 'create':
        this.#inodes.set(op.inode, { durable: new Uint8Array(0), pending: [] })
        this.#pendingEntries.push(op)
        break
      case 'rename':
      case 'unlink':
        this.#pendingEntries.push(op)
        break
      case 'write':
      case 'truncate': {
        const { pending } = this.#inodes.get(op.inode)!
        pending.push({ op, after: after(this.current(op.inode), op) })
        break
      }
      case 'sync': {
        const inode = this.#inodes.get(op.inode)!
        const covered = inode.pending.filter(({ op: { at } }) => at < op.began)
        inode.durable = covered.at(-1)?.after ?? inode.durable
        inode.pending = inode.pending.slice(covered.length)
        break
      }
      case 'syncDir': {
        const covered = this.#pendingEntries.filter(({ at }) => at < op.began)
        for (const change of covered) applyEntry(this.#durableEntries, change)
        this.#pendingEntries = this.#pendingEntries.slice(covered.length)
        break
      }
    }
  }

  /** What the running system sees. */
  current(inode: number): Uint8Array {
    const { durable, pending } = this.#inodes.get(inode)!
    return pending.at(-1)?.after ?? durable
  }

  /** What a kill leaves: everything, and the first `bytes` of the write that was under way. */
  afterKill(partial?: { op: DataOp & { kind: 'write' }; bytes: number }): Image {
    const entries = new Map(this.#durableEntries)
    for (const change of this.#pendingEntries) applyEntry(entries, change)
    const image: Image = new Map()
    for (const [path, inode] of entries) {
      const content = this.current(inode)
      const isHit = partial?.op.inode === inode
      image.set(
        path,
        isHit ? written(content, partial.op.position, partial.op.bytes.subarray(0, partial.bytes)) : content
      )
    }
    return image
  }

  /** What a power cut leaves that keeps this selection. */
  afterCut(selection: Selection): Image {
    const entries = new Map(this.#durableEntries)
    for (const change of this.#pendingEntries) if (selection.entries.has(change)) applyEntry(entries, change)
    const image: Image = new Map()
    for (const [path, inode] of entries) image.set(path, this.#contentAfterCut(inode, selection))
    return image
  }

  /** The sectors that a write touches. */
  sectorsOf({ position, bytes }: { position: number; bytes: Uint8Array }): number[] {
    const first = Math.floor(position / this.sectorBytes)
    const last = Math.floor((position + bytes.length - 1) / this.sectorBytes)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  }

  #contentAfterCut(inode: number, { data }: Selection): Uint8Array {
    const { durable, pending } = this.#inodes.get(inode)!
    let content: Uint8Array = durable
    for (const { op, after } of pending) {
      const kept = data.get(op)
      if (!kept) continue
      if (op.kind === 'truncate') {
        content = truncated(content, op.length)
        continue
      }
      const end = op.position + op.bytes.length
      if (kept.grown) content = truncated(content, Math.max(content.length, end))
      for (const sector of kept.sectors === 'all' ? this.sectorsOf(op) : kept.sectors) {
        const from = sector * this.sectorBytes
        const piece = after.subarray(from, Math.max(Math.min(from + this.sectorBytes, end), from))
        content = written(content, from, piece)
      }
    }
    return content
  }

  #reachable(): Set<number> {
    const inodes = new Set(this.#durableEntries.values())
    for (const { inode } of this.#pendingEntries) inodes.add(inode)
    return inodes
  }
}

function after(content: Uint8Array, op: DataOp): Uint8Array {
  return op.kind === 'write' ? written(content, op.position, op.bytes) : truncated(content, op.length)
}

/** An unlink or rename that survives alone takes what it was meant for, nothing else. */
function applyEntry(entries: Map<string, number>, change: EntryOp): void {
  const { kind, path, inode } = change
  if (kind === 'create') entries.set(path, inode)
  else if (entries.get(path) === inode) entries.delete(path)
  if (kind === 'rename') entries.set(change.to, inode)
}
