/** Shorter ones are filled with zeros in less time than it takes to ask for memory that is not. */
const WORTH_IT_BYTES = 4096

/** So many bytes that are all about to be written: what is in them is anything. */
export function unfilled(length: number): Uint8Array {
  return length < WORTH_IT_BYTES ? new Uint8Array(length) : new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
}
