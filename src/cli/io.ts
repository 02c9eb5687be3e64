/** What a command touches of its process, so that tests can give it another. `main.ts` makes the real one. */
import type { Readable, Writable } from 'node:stream'

export interface Output extends Writable {
  isTTY?: boolean
  columns?: number
}

export interface Io {
  stdin: Readable & { isTTY?: boolean }
  stdout: Output
  stderr: Output
  env: Record<string, string | undefined>
  /** Where relative paths start, and the user's home; for the history file. */
  home: string | undefined
  /** The words that start another coterie: the Node binary and the bin file. */
  command: string[]
  /** SIGINT and SIGTERM, from now until the returned function is called. */
  onSignal(listener: (name: string) => void): () => void
  /** Ends the process at once. */
  exitNow(code: number): void
}

const NARROWEST = 40
const DEFAULT_WIDTH = 100

/** Columns to fit text to. */
export function widthOf(output: Output): number {
  return Math.max(NARROWEST, output.columns ?? DEFAULT_WIDTH)
}

/** Writes, and waits while the reader is slower than we are. */
export async function write(output: Writable, chunk: string | Uint8Array): Promise<void> {
  if (output.write(chunk)) return
  await new Promise<void>(resolve => {
    const done = () => {
      output.off('drain', done)
      output.off('close', done)
      resolve()
    }
    output.once('drain', done)
    output.once('close', done)
  })
}

export function writeLine(output: Writable, line: string): Promise<void> {
  return write(output, `${line}\n`)
}

/** One JSON document and a line end: all that `--json` puts on standard output. */
export function writeJson(io: Io, document: unknown): Promise<void> {
  return writeLine(io.stdout, JSON.stringify(document))
}

/** Everything up to the end of standard input; throws whatever `limit` throws once there is more than it allows. */
export async function readAll(input: Readable, maxBytes: number, tooMuch: () => Error): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk)
    chunks.push(bytes)
    if ((length += bytes.length) > maxBytes) throw tooMuch()
  }
  return new Uint8Array(Buffer.concat(chunks))
}
