/** A fault of one line, put into the text of one file when a process loads it (`planting.ts`). */
export interface Bug {
  name: string
  /** The seed that caught it does not any more, nor do the next: one is to be looked for again (`npm run planted -- NAME`). */
  isLost?: boolean
  /** What a node with it does, in a few words. */
  what: string
  /** Where the like was seen, as far as known. */
  seenIn?: string
  /** From the root of the project. */
  file: string
  /** Occurs exactly once in the file. */
  find: string
  replace: string
  /** Where it should show; default the swarm. */
  scenarios?: string[]
}
