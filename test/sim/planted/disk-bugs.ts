/** Bugs of what a node keeps on its disk. */
import type { Bug } from './bug.ts'

export const DISK_BUGS: readonly Bug[] = [
  {
    name: 'no-sync-before-ack',
    what: 'acknowledges in disk mode what it has not synced',
    seenIn: 'Elasticsearch before 2.0 (translog synced every 5 s)',
    file: 'src/storage/log/log-writer.ts',
    find: 'if (written.length === 0) return',
    replace: 'for (const batch of written) this.#done(batch); return',
    scenarios: ['power']
  },
  {
    name: 'file-name-not-synced',
    what: 'syncs a new range file, but not the directory that names it',
    seenIn: 'several systems in "All File Systems Are Not Created Equal" (OSDI 2014)',
    file: 'src/storage/log/file-sync.ts',
    find: 'if (!this.#lasts) await this.#shared.dirSync.sync(name)',
    replace: '',
    scenarios: ['power']
  },
  {
    name: 'checksum-not-checked',
    what: 'reads records without checking the value',
    seenIn: 'Redis: rotten values reach clients ("Redundancy Does Not Imply Fault Tolerance", FAST 2017)',
    file: 'src/storage/format/record.ts',
    find: 'if (crcOf(value) !== head.valueCrc)',
    replace: 'if (value.length !== head.valueLength)',
    scenarios: ['disk']
  },
  {
    name: 'misdirected-write-accepted',
    what: 'takes a record for good that belongs to another file',
    seenIn: 'the fault itself: "An Analysis of Data Corruption in the Storage Stack" (FAST 2008)',
    file: 'src/storage/format/record.ts',
    find: "if (view.getUint32(at + 16, true) !== fileId32) return 'the record belongs to another file'",
    replace: '',
    scenarios: ['disk']
  },
  {
    name: 'refused-append-keeps-its-place',
    isLost: true,
    what: 'counts what a full disk has refused into the offsets of later records',
    file: 'src/storage/log/log-writer.ts',
    find: 'if (first) this.#tail = Math.max(first.start, FILE_HEADER_BYTES)',
    replace: '',
    scenarios: ['disk', 'swarm']
  },
  {
    name: 'refused-append-stays-in-index',
    what: 'leaves the index pointing at a record that a full disk has refused',
    file: 'src/storage/log/range-log.ts',
    find: 'if (replaced && indexed) this.#index.replace(hi, lo, file, offset, replaced)',
    replace: 'if (replaced && indexed) void offset',
    scenarios: ['disk', 'swarm']
  },
  {
    name: 'rewritten-file-not-synced',
    what: 'unlinks a range file before the one that it was rewritten into is synced',
    seenIn: 'LevelDB and others in "All File Systems Are Not Created Equal" (OSDI 2014)',
    file: 'src/storage/upkeep/compaction.ts',
    find: 'await log.newest.writer.sync()',
    replace: '',
    scenarios: ['power']
  },
  {
    name: 'hint-hides-what-came-later',
    what: 'does not read what was written after a hint',
    seenIn: 'bitcask#136',
    file: 'src/storage/log/recovery.ts',
    find: 'isNewest ? hint.from : found.bytes',
    replace: 'found.bytes',
    scenarios: ['restarts', 'power', 'swarm']
  }
]
