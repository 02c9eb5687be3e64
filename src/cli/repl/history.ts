/** The REPL's history, a file in the user's state directory (XDG base directories). */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export const HISTORY_LINES = 1000
const PRIVATE_FILE = 0o600
const PRIVATE_DIR = 0o700

/** Undefined where the user has no home. */
export function historyPath(env: Record<string, string | undefined>, home: string | undefined): string | undefined {
  if (env.COTERIE_HISTORY) return env.COTERIE_HISTORY
  if (env.XDG_STATE_HOME) return join(env.XDG_STATE_HOME, 'coterie', 'history')
  return home ? join(home, '.local', 'state', 'coterie', 'history') : undefined
}

/** Newest first, as readline takes it; empty when there is none. */
export async function loadHistory(path: string | undefined): Promise<string[]> {
  if (path === undefined) return []
  // No history, or one that cannot be read: a comfort less, nothing more.
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).slice(-HISTORY_LINES).reverse()
}

/** Takes readline's order (newest first); the file has the newest last. */
export async function saveHistory(path: string | undefined, newestFirst: string[]): Promise<void> {
  if (path === undefined) return
  const lines = newestFirst.slice(0, HISTORY_LINES).reverse()
  try {
    await mkdir(dirname(path), { recursive: true, mode: PRIVATE_DIR })
    await writeFile(path, lines.map(line => `${line}\n`).join(''), { mode: PRIVATE_FILE })
  } catch {
    // A read-only home costs the history, not the sitting.
  }
}
