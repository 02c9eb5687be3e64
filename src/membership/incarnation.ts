/**
 * The incarnation: a plain counter of this identity's lives, raised and synced before the first packet of a life leaves,
 * so that what a node says now beats all that it said before (design §5).
 */
import type { FileIo, Log } from '../ports.ts'
import { MAX_INCARNATION } from './member-record.ts'

const fileOf = (dir: string) => `${dir}/incarnation.json`

/**
 * Reads the counter, raises it by one, or to `atLeast` where that is more, and returns what it wrote. A missing or
 * damaged file counts as 0: if the cluster remembers more, it says so, and the node goes one above (failures 40, 41).
 * Throws Node's error when the file cannot be read or written.
 */
export async function raiseIncarnation(
  files: Pick<FileIo, 'readFile' | 'replaceFile'>,
  dir: string,
  { atLeast = 1, log }: { atLeast?: number; log?: Pick<Log, 'warn'> } = {}
): Promise<number> {
  const path = fileOf(dir)
  const content = await files.readFile(path)
  let before = 0
  if (content) {
    const read = parse(content)
    if (read === undefined) log?.warn(`${path} is damaged; counting from what the cluster remembers`, { path })
    else before = read
  }
  const incarnation = Math.min(MAX_INCARNATION, Math.max(before + 1, atLeast))
  await files.replaceFile(path, new TextEncoder().encode(`${JSON.stringify({ incarnation })}\n`))
  return incarnation
}

function parse(content: Uint8Array): number | undefined {
  try {
    const { incarnation } = JSON.parse(new TextDecoder().decode(content)) as { incarnation?: unknown }
    return Number.isSafeInteger(incarnation) && (incarnation as number) >= 0 ? (incarnation as number) : undefined
  } catch {
    // Not JSON, or `null`: the caller says so and starts again.
    return undefined
  }
}
