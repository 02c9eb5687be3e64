/**
 * Order-independent sums over a range copy, for anti-entropy (design §10; Merkle trees of Dynamo §4.7, flattened): 1,024
 * buckets, each the sum of what its keys contribute, so that a write costs two additions and equal copies have equal sums.
 */
export const BUCKETS = 1024
/** Two u32 a bucket, little-endian on the wire. */
export const BUCKET_BYTES = 8

/** A bucket takes the low bits of the position: the high bits choose the range. */
export const bucketOf = (lo: number): number => lo & (BUCKETS - 1)

/** Murmur3's finaliser: spreads every input bit over the word, so that sums of close values do not cancel. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export class BucketSums {
  readonly #words = new Uint32Array(BUCKETS * 2)
  #keys = 0

  get keys(): number {
    return this.#keys
  }

  add(hi: number, lo: number, tag: number): void {
    this.#shift(hi, lo, tag, 1)
    this.#keys++
  }

  remove(hi: number, lo: number, tag: number): void {
    this.#shift(hi, lo, tag, -1)
    this.#keys--
  }

  #shift(hi: number, lo: number, tag: number, sign: number): void {
    const at = bucketOf(lo) * 2
    const first = mix(hi ^ mix(lo ^ mix(tag)))
    this.#words[at] += sign * first
    this.#words[at + 1] += sign * mix(first ^ lo ^ tag)
  }

  /** One number for the whole range, as two u32: equal copies have equal totals. */
  total(): { hi: number; lo: number } {
    let hi = this.#keys
    let lo = 0
    for (let i = 0; i < this.#words.length; i += 2) {
      hi = mix(hi ^ this.#words[i])
      lo = mix(lo ^ this.#words[i + 1] ^ hi)
    }
    return { hi, lo }
  }

  encode(): Uint8Array {
    const bytes = new Uint8Array(BUCKETS * BUCKET_BYTES)
    const view = new DataView(bytes.buffer)
    this.#words.forEach((word, i) => {
      view.setUint32(i * 4, word, true)
    })
    return bytes
  }

  /** Buckets whose sum differs from `encoded`. */
  differing(encoded: Uint8Array): number[] {
    const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength)
    const buckets: number[] = []
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const at = bucket * BUCKET_BYTES
      if (
        view.getUint32(at, true) !== this.#words[bucket * 2] ||
        view.getUint32(at + 4, true) !== this.#words[bucket * 2 + 1]
      ) {
        buckets.push(bucket)
      }
    }
    return buckets
  }
}
