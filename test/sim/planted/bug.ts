/** A fault of one line, put into the text of one file when a process loads it (`planting.ts`). */
export interface Bug {
  name: string
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
