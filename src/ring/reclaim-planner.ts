/**
 * Who takes over what dead members owned: a function of what all nodes know alike, as `planner.ts` (design §6, death). Every
 * survivor ends within its share; a range goes where it makes the fewest lists go further for their members, and to
 * another zone than its neighbours' where it can.
 */
import type { PlanMember } from './planner.ts'
import type { Flip } from './ring-view.ts'

const EPSILON = 1e-9

interface Account {
  peerId: string
  zone: string
  share: number
  count: number
  /** More than this is taken only where nobody else may. */
  limit: number
}

/**
 * `owners[range]` as in `OwnerMap.ownerList`; `survivors`: who may own ranges, with a capacity above 0. Empty where there is
 * nobody. `mayTake`: false for who may not have that range, since two members of a list would change at once.
 */
export function planReclaims(
  owners: readonly (string | undefined)[],
  survivors: readonly PlanMember[],
  isDead: (owner: string) => boolean,
  n: number,
  mayTake: (range: number, peerId: string) => boolean = () => true
): Flip[] {
  const q = owners.length
  const total = survivors.reduce((sum, { capacity }) => sum + capacity, 0)
  const accounts = new Map<string, Account>(
    [...survivors]
      .sort((a, b) => (a.peerId < b.peerId ? -1 : 1))
      .map(({ peerId, zone, capacity }) => [
        peerId,
        { peerId, zone, share: (q * capacity) / total, count: 0, limit: 0 }
      ])
  )
  for (const owner of owners) {
    const account = owner === undefined ? undefined : accounts.get(owner)
    if (account !== undefined) account.count++
  }
  const dead = owners.filter(owner => owner !== undefined && isDead(owner)).length
  setLimits([...accounts.values()], dead)
  const reach = Math.min(n - 1, (q - 1) >> 1)
  const after = [...owners]
  const flips: Flip[] = []
  owners.forEach((owner, range) => {
    if (owner === undefined || !isDead(owner)) return
    let best: { account: Account; cost: number } | undefined
    for (const account of accounts.values()) {
      if (!mayTake(range, account.peerId)) continue
      const cost = costOf(after, range, account, { accounts, reach })
      if (best === undefined || cost < best.cost) best = { account, cost }
    }
    if (best === undefined) return
    best.account.count++
    after[range] = best.account.peerId
    flips.push({ range, to: best.account.peerId })
  })
  return flips
}

/**
 * What each has once the dead members' ranges have gone one by one to whoever was most below their share: it moves nothing that
 * shares would have moved once more. Where all are alike, shares rounded up say nearly the same, and leave more choice of place.
 */
function setLimits(accounts: readonly Account[], ranges: number): void {
  for (const account of accounts) account.limit = Math.ceil(account.share - EPSILON)
  const [first] = accounts
  if (accounts.every(({ share, zone }) => share === first!.share && zone === first!.zone)) return
  const due = accounts.map(account => ({ account, count: account.count }))
  for (let i = 0; i < ranges; i++) {
    let least = due[0]!
    for (const one of due) if (one.count - one.account.share < least.count - least.account.share - EPSILON) least = one
    least.count++
  }
  for (const { account, count } of due) account.limit = Math.min(account.limit, count)
}

/** Lower is better. What comes first weighs more: shares, the same owner nearby, the same zone nearby, who has least. */
function costOf(
  owners: readonly (string | undefined)[],
  range: number,
  { peerId, zone, share, count, limit }: Account,
  { accounts, reach }: { accounts: ReadonlyMap<string, Account>; reach: number }
): number {
  const q = owners.length
  let sameOwner = 0
  let sameZone = 0
  for (let step = -reach; step <= reach; step++) {
    const neighbour = step === 0 ? undefined : owners[(range + step + q) % q]
    if (neighbour === undefined) continue
    if (neighbour === peerId) sameOwner++
    else if (accounts.get(neighbour)?.zone === zone) sameZone++
  }
  const most = 2 * reach + 1
  const over = Math.max(0, count + 1 - limit)
  // Below 1, whatever the share: it decides between those that are alike otherwise.
  const fullness = (count + 1) / (count + 2 + share)
  return (over * most + sameOwner) * most + sameZone + fullness
}
