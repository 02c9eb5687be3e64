/**
 * A claim: one fact about who owns one range (design §6). The owner map is a register per range of such facts; member
 * records and answers carry them.
 */

export interface Claim {
  range: number
  /** Grows by one with every change of owner; the founder's first claim is 1. */
  epoch: number
  owner: string
  /** The previous owner's signed word that the range is given away; absent only at epoch 1. */
  grant?: Grant
}

export interface Grant {
  /** The owner at `epoch - 1`. */
  by: string
  /** Ed25519 over `grantMessage` of the claim. */
  signature: Uint8Array
}

/** The bytes that a grant signs: `coterie-grant-1|clusterId|range|epoch|owner`, UTF-8. */
export function grantMessage(clusterId: string, claim: Pick<Claim, 'range' | 'epoch' | 'owner'>): Uint8Array {
  return new TextEncoder().encode(`coterie-grant-1|${clusterId}|${claim.range}|${claim.epoch}|${claim.owner}`)
}
