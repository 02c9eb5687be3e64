/** Colours: only on a terminal, and never where NO_COLOR (no-color.org) or TERM=dumb asks for none. */

export interface Style {
  color: boolean
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
  /** The colour of the `index`-th owner of the ring. */
  owner(index: number, text: string): string
}

/** Told apart on dark and light grounds, neighbours in the list unlike one another. */
const OWNER_COLORS = [36, 33, 35, 32, 34, 31, 96, 93, 95, 92, 94, 91]

export function makeStyle(color: boolean): Style {
  const paint = (code: number, end: number) => (text: string) => (color ? `\x1b[${code}m${text}\x1b[${end}m` : text)
  return {
    color,
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
    owner: (index, text) => paint(OWNER_COLORS[index % OWNER_COLORS.length]!, 39)(text)
  }
}

export const plain: Style = makeStyle(false)

export function styleOf(output: { isTTY?: boolean }, env: Record<string, string | undefined>): Style {
  return makeStyle(output.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb')
}
