/**
 * A typed line as words of bytes. Words end at white space. `"…"` and bare words know the escapes `\n \r \t \0 \\ \" \'
 * \xNN` and backslash + space; `'…'` takes all as it is. A bare `hex:DEADBEEF` is those bytes. Pure.
 */
import { usage } from '../args.ts'
import * as values from '../values.ts'

export interface Word {
  bytes: Uint8Array
  /** The same as text; where the bytes are not UTF-8, with replacement characters. */
  text: string
  /** Starts with a quote: then it is no flag, no `@file` and no `hex:`. */
  quoted: boolean
}

const NAMED: Record<string, string> = { n: '\n', r: '\r', t: '\t', '0': '\0' }
const decoder = new TextDecoder()

/** Throws `bad-usage` for a quote that does not end and for an escape that is none. */
export function splitWords(line: string): Word[] {
  const words: Word[] = []
  let at = 0
  for (;;) {
    while (at < line.length && /\s/.test(line[at]!)) at++
    if (at >= line.length) return words
    const start = at
    const pieces: Uint8Array[] = []
    while (at < line.length && !/\s/.test(line[at]!)) {
      const quote = line[at] === '"' || line[at] === "'" ? line[at]! : ''
      const piece = readPiece(line, at + quote.length, quote)
      pieces.push(...piece.bytes)
      at = piece.end
    }
    words.push(makeWord(new Uint8Array(Buffer.concat(pieces)), /["']/.test(line[start]!)))
  }
}

/** What a value word stands for: `@file` is the content of a file, through `readFile`. */
export async function valueBytes(word: Word, readFile: (path: string) => Promise<Uint8Array>): Promise<Uint8Array> {
  return !word.quoted && word.text.startsWith('@') ? await readFile(word.text.slice(1)) : word.bytes
}

function makeWord(bytes: Uint8Array, quoted: boolean): Word {
  const text = decoder.decode(bytes)
  if (!quoted && text.startsWith('hex:')) {
    const hex = values.hexBytes('hex:', text.slice('hex:'.length))
    return { bytes: hex, text: decoder.decode(hex), quoted: true }
  }
  return { bytes, text, quoted }
}

/** From `at` to the end of this quoted or bare piece of a word. */
function readPiece(line: string, at: number, quote: string): { bytes: Uint8Array[]; end: number } {
  const bytes: Uint8Array[] = []
  let plain = ''
  const flush = () => {
    if (plain) bytes.push(Buffer.from(plain))
    plain = ''
  }
  for (let i = at; ; ) {
    const char = line[i]
    if (char === undefined) {
      if (quote) throw usage(`the quote ${quote} is not closed`)
      flush()
      return { bytes, end: i }
    }
    if (quote ? char === quote : /[\s"']/.test(char)) {
      flush()
      return { bytes, end: quote ? i + 1 : i }
    }
    if (char === '\\' && quote !== "'") {
      const hex = /^\\x([0-9a-fA-F]{2})/.exec(line.slice(i, i + 4))
      if (hex) {
        flush()
        bytes.push(Uint8Array.of(Number.parseInt(hex[1]!, 16)))
        i += 4
        continue
      }
      plain += escaped(line[i + 1])
      i += 2
      continue
    }
    plain += char
    i++
  }
}

function escaped(char: string | undefined): string {
  if (char !== undefined && Object.hasOwn(NAMED, char)) return NAMED[char]!
  if (char !== undefined && /[\\"'\s#@:-]/.test(char)) return char
  throw usage(`\\${char ?? ''} is no escape; there are \\n \\r \\t \\0 \\\\ \\" \\' \\xNN`)
}
