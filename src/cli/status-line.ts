/** A line that is redrawn in place under lines that scroll: progress below a log. Only for a terminal. */
import type { Output } from './io.ts'

export interface StatusLine {
  /** Shows `text` in place of what stood there; '' clears it. */
  show(text: string): void
  /** Prints a line above. */
  print(line: string): void
}

const CLEAR = '\r\x1b[K'

export function statusLine(output: Output): StatusLine {
  const live = output.isTTY === true
  let shown = ''
  return {
    show(text) {
      if (!live || text === shown) return
      output.write(CLEAR + text)
      shown = text
    },
    print(line) {
      output.write(live && shown !== '' ? `${CLEAR}${line}\n${shown}` : `${line}\n`)
    }
  }
}
