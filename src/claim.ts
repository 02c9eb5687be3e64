/**
 * A claim: one fact about who owns one range (design §6). The owner map is a register per range of such facts; member
 * records and answers carry them.
 */

export interface Claim {
  range: number
  /** Grows by one with every change of owner; the founder's first claim is 1. */
  epoch: number
  owner: string
  /** Whose word it is; absent only at epoch 1. */
  grant?: Grant
}

/** A grant: the previous owner gives the range away. Or a reclaim: a member takes it from one that is dead. */
export interface Grant {
  /** The owner at `epoch - 1`; of a reclaim, any member. */
  by: string
  /** Ed25519 over `grantMessage` or `reclaimMessage` of the claim: which of the two it is. */
  signature: Uint8Array
}

/** The bytes that a grant signs: `coterie-grant-1|clusterId|range|epoch|owner`, UTF-8. */
export function grantMessage(clusterId: string, claim: Pick<Claim, 'range' | 'epoch' | 'owner'>): Uint8Array {
  return new TextEncoder().encode(`coterie-grant-1|${clusterId}|${claim.range}|${claim.epoch}|${claim.owner}`)
}

/** The bytes that a reclaim signs: `coterie-reclaim-1|clusterId|range|epoch|owner`, UTF-8. */
export function reclaimMessage(clusterId: string, claim: Pick<Claim, 'range' | 'epoch' | 'owner'>): Uint8Array {
  return new TextEncoder().encode(`coterie-reclaim-1|${clusterId}|${claim.range}|${claim.epoch}|${claim.owner}`)
}
