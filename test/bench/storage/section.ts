/** What a section of the storage benchmark is given, and gives. */
export interface SectionInput {
  /** An empty directory of its own, removed afterwards. */
  scratch: string
  /** The file of all keys (`writeKeys`). */
  keys: string
  /** The peers are installed. */
  peers: boolean
}

/** Markdown: a heading and tables. */
export type Section = (input: SectionInput) => Promise<string>
