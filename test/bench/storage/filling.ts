/** Data sets that cells of several sections read: made once by a child, closed or killed, and read into the page cache. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { type CellFunction, runCell } from './children.ts'
import { type EngineInit, fill, openEngine } from './engines.ts'

type FillParams = EngineInit & { size: number; end: 'close' | 'kill' }

const fillDataSet: CellFunction<FillParams> = async init => {
  const engine = await openEngine(init)
  const startMs = performance.now()
  await fill(engine, init.count, init.size)
  const seconds = (performance.now() - startMs) / 1000
  if (init.end === 'kill') return { seconds, killed: 1 }
  await engine.close()
  return { seconds, killed: 0 }
}

export const fillCells = { fillDataSet }

/** False when it could not be made. */
export async function makeDataSet(params: FillParams): Promise<boolean> {
  const result = await runCell('fillDataSet', params)
  if (result)
    console.error(
      `  filled ${params.system} with ${params.count} × ${params.size} B in ${result.seconds!.toFixed(1)} s`
    )
  return result !== undefined
}

const WINDOW = Buffer.allocUnsafe(1 << 20)

/** Reads every file of a directory once; one that goes away meanwhile (LevelDB still compacts) is passed over. Bytes read. */
export function warm(dir: string): number {
  let bytes = 0
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    let fd: number
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
      throw error
    }
    for (let read = 1; read > 0; bytes += read) read = readSync(fd, WINDOW, 0, WINDOW.length, null)
    closeSync(fd)
  }
  return bytes
}
