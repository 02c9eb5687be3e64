/** Shorter ones are filled with zeros in less time than it takes to ask for memory that is not. */
const WORTH_IT_BYTES = 4096

/** So many bytes that are all about to be written: what is in them is anything. */
export function unfilled(length: number): Uint8Array {
  return length < WORTH_IT_BYTES ? new Uint8Array(length) : new Uint8Array(Buffer.allocUnsafeSlow(length).buffer)
}

/** The pieces of a message as one, without a copy where it is. */
export function joined(message: Uint8Array | readonly Uint8Array[]): Uint8Array {
  if (message instanceof Uint8Array) return message
  const all = unfilled(lengthOf(message))
  let at = 0
  for (const piece of message) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

export function lengthOf(message: Uint8Array | readonly Uint8Array[]): number {
  return message instanceof Uint8Array ? message.length : message.reduce((sum, { length }) => sum + length, 0)
}
