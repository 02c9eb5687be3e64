/** Bytes and numbers as text for people: printable, of known width, cut to fit. Pure. */
import { stripVTControlCharacters } from 'node:util'

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text that the bytes are, or undefined when they are not valid UTF-8. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** How bytes stand in JSON: always `base64`, and `text` when they are valid UTF-8. */
export function bytesJson(bytes: Uint8Array): { text?: string; base64: string } {
  const text = utf8(bytes)
  return { ...(text !== undefined && { text }), base64: Buffer.from(bytes).toString('base64') }
}

/** How a key stands in JSON: always `keyBase64`, and `key` when it is valid UTF-8. */
export function keyJson(key: Uint8Array): { key?: string; keyBase64: string } {
  const { text, base64 } = bytesJson(key)
  return { ...(text !== undefined && { key: text }), keyBase64: base64 }
}

/** Controls, line ends, and what reorders or hides text: none of it may reach a terminal from a stored value. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/u

/**
 * Bytes on one line, harmless to a terminal: text as it is; anything else in double quotes with `\n`, `\"`, `\xNN`
 * escapes, which the REPL reads back as the same bytes.
 */
export function printable(bytes: Uint8Array): string {
  const text = utf8(bytes)
  if (text !== undefined && text !== '' && !UNSAFE.test(text) && !/^[\s"']|["'\\]|\s$/.test(text)) return text
  return `"${text === undefined ? escapeBytes(bytes) : escapeText(text)}"`
}

/** Like `printable`, and quoted wherever the REPL would not read it as one word: for keys. */
export function printableKey(bytes: Uint8Array): string {
  const text = printable(bytes)
  return !text.startsWith('"') && /\s|^[#@-]|^hex:/.test(text) ? `"${text}"` : text
}

/** A text from elsewhere (a zone, an address), harmless to a terminal. */
export function harmless(text: string): string {
  return UNSAFE.test(text) ? escapeText(text) : text
}

function escapeText(text: string): string {
  let escaped = ''
  for (const char of text) {
    if (char === '"' || char === '\\') escaped += `\\${char}`
    else if (char === '\n') escaped += '\\n'
    else if (UNSAFE.test(char)) escaped += escapeEvery(Buffer.from(char))
    else escaped += char
  }
  return escaped
}

function escapeBytes(bytes: Uint8Array): string {
  let escaped = ''
  for (const byte of bytes) {
    const safe = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
    escaped += safe ? String.fromCharCode(byte) : escapeEvery([byte])
  }
  return escaped
}

const escapeEvery = (bytes: Iterable<number>): string =>
  Array.from(bytes, byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')

const ZERO_WIDTH = /^[\p{Mn}\p{Me}]$/u
const WIDE =
  /^[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303e\uff01-\uff60]$/u

/** Columns that a text takes on a terminal; colours take none. */
export function displayWidth(text: string): number {
  let width = 0
  for (const char of stripVTControlCharacters(text)) width += charWidth(char)
  return width
}

const charWidth = (char: string): number => (char < '\u0300' ? 1 : ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1)

/** A text without colours, cut to `width` columns with an ellipsis. */
export function fit(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  let head = ''
  let used = 1
  for (const char of text) {
    used += charWidth(char)
    if (used > width) break
    head += char
  }
  return `${head}…`
}

/** Pads with spaces to `width` columns. */
export function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)))
  return align === 'left' ? text + space : space + text
}

/** Cuts a text without colours into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  const lines = ['']
  let used = 0
  for (const char of text) {
    const columns = charWidth(char)
    if (used + columns > width && used > 0) {
      lines.push('')
      used = 0
    }
    lines[lines.length - 1] += char
    used += columns
  }
  return lines
}

/** The end of a peer id: what tells peers apart (all begin alike). */
export function shortPeer(peerId: string): string {
  return peerId.length > 12 ? `…${peerId.slice(-8)}` : harmless(peerId)
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function byteCount(bytes: number): string {
  let unit = 0
  let value = bytes
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** 1234567 → `1,234,567`. */
export const count = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString('en-US') : value.toLocaleString('en-US', { maximumFractionDigits: 1 })

/** `1 value`, `2 values`. */
export const plural = (value: number, noun: string, nouns = `${noun}s`): string =>
  `${count(value)} ${value === 1 ? noun : nouns}`

export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} days`
}
