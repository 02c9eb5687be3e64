/** The child's entry: `cells.ts NAME PARAMS` runs one cell of one section and sends its figures to the parent. */
import { keepAlive } from '../../../src/runtime.ts'
import type { CellFunction } from './children.ts'
import { compactionCells } from './compaction.ts'
import { fillCells } from './filling.ts'
import { getCells } from './gets.ts'
import { indexCells } from './index-growth.ts'
import { openCells } from './opening.ts'
import { putCells } from './puts.ts'
import { rangeCells } from './ranges.ts'
import { stallCells } from './stall.ts'
import { syncedCells } from './synced.ts'

const CELLS = {
  ...fillCells,
  ...putCells,
  ...syncedCells,
  ...getCells,
  ...indexCells,
  ...openCells,
  ...rangeCells,
  ...stallCells,
  ...compactionCells
} as Record<string, CellFunction<unknown>>

const [name, params] = process.argv.slice(2)
// Nobody waits for the figures any more.
process.on('disconnect', () => process.exit(1))
// The store's own timers do not keep a process alive.
keepAlive()
const result = await CELLS[name!]!(JSON.parse(params!))
process.send!(result, () => {
  // `killed`: as a process that dies without a word to the store.
  if (result.killed === 1) process.kill(process.pid, 'SIGKILL')
  else process.exit(0)
})
