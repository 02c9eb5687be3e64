/**
 * What storage does a second and how long it takes, beside the raw floor of the same bytes and beside LevelDB and LMDB, all
 * in the same run. Tables; no pass or fail. Arguments choose sections; without one, all are measured. Environment:
 * RUNS (3), SECONDS (2), KEYS (1000000), SIZES (100,1024), STALL (10), RATE (5000). Scratch data go to the
 * temporary directory, several GiB for the whole of it.
 *
 * @example
 *   KEYS=50000 RUNS=1 SECONDS=0.5 npm run bench -- storage puts gets
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { machine } from './measure.ts'
import { benchCompaction } from './storage/compaction.ts'
import { benchGets } from './storage/gets.ts'
import { benchIndex } from './storage/index-growth.ts'
import { writeKeys } from './storage/keys.ts'
import { benchOpen } from './storage/opening.ts'
import { installPeers } from './storage/peers.ts'
import { benchPuts } from './storage/puts.ts'
import { benchRanges } from './storage/ranges.ts'
import type { Section } from './storage/section.ts'
import { KEYS, RUNS, SECONDS, scratchDir } from './storage/settings.ts'
import { benchStall } from './storage/stall.ts'
import { benchSynced } from './storage/synced.ts'

const SECTIONS: Record<string, Section> = {
  puts: benchPuts,
  synced: benchSynced,
  gets: benchGets,
  index: benchIndex,
  open: benchOpen,
  ranges: benchRanges,
  stall: benchStall,
  compaction: benchCompaction
}
const WITH_PEERS = ['puts', 'synced', 'gets']

export async function benchStorage(args: string[]): Promise<string> {
  const unknown = args.find(name => !(name in SECTIONS))
  if (unknown !== undefined) {
    console.error(`npm run bench -- storage [SECTION]…, where a SECTION is one of: ${Object.keys(SECTIONS).join(', ')}`)
    process.exit(2)
  }
  const names = args.length > 0 ? args : Object.keys(SECTIONS)
  const missing = names.some(name => WITH_PEERS.includes(name)) ? installPeers() : undefined
  if (missing !== undefined) console.error(missing)
  const scratch = scratchDir()
  const keys = join(scratch, 'keys')
  writeKeys(keys, KEYS)
  const parts = [
    `${machine()}; ${RUNS} runs of ${SECONDS} s a cell in turn with the other cells, medians; ${KEYS} keys in shuffled order`
  ]
  if (missing !== undefined) parts.push(missing)
  for (const name of names) {
    console.error(name)
    const own = join(scratch, name)
    mkdirSync(own)
    parts.push(await SECTIONS[name]!({ scratch: own, keys, peers: missing === undefined }))
    rmSync(own, { recursive: true, force: true })
  }
  return parts.join('\n\n')
}
