/** Bugs of who owns what, and of who is there. */
import type { Bug } from './bug.ts'

export const RING_BUGS: readonly Bug[] = [
  {
    name: 'empty-copy-counts-as-synced',
    isLost: true,
    what: 'takes a copy that has lost what it held for complete, whether it has met the others or not',
    seenIn: 'Riak before 1.0: ownership before the data',
    file: 'src/repair/copy-keeper.ts',
    find: "return statuses.includes('synced') && statuses.length >= Math.min(n - 1, n - w + 1)",
    replace: 'return statuses.length <= n + w',
    scenarios: ['wipe']
  },
  {
    name: 'claim-before-copy',
    what: 'gives a range away before the new members have copied it',
    seenIn: 'Riak before 1.0: ownership before the data',
    file: 'src/repair/movement.ts',
    find: '(await Promise.all(preparations.map(preparation => this.#attempt(preparation, step, planned)))).every(Boolean)',
    replace: 'preparations.every(({ member }) => this.#canCopy(member))',
    scenarios: ['join', 'swarm']
  },
  {
    name: 'two-members-flipped',
    what: 'changes two members of a preference list at once',
    seenIn: 'Cassandra: the reason why nodes must not bootstrap at the same time',
    file: 'src/ring/flips.ts',
    find: 'return entering.length <= 1 && leaving.length <= 1',
    replace: 'return entering.length <= 2 && leaving.length <= 2',
    scenarios: ['join']
  },
  {
    name: 'two-grants-for-one-epoch',
    what: 'signs a grant for the epoch at which it was given the range itself',
    file: 'src/topology.ts',
    find: 'epoch: this.#map.claim(range)!.epoch + 1, owner',
    replace: 'epoch: Math.max(2, this.#map.claim(range)!.epoch), owner',
    scenarios: ['swarm']
  },
  {
    name: 'epoch-compared-backwards',
    what: 'takes older owners for newer ones',
    file: 'src/topology.ts',
    find: 'claim.epoch > known.epoch',
    replace: 'claim.epoch < known.epoch',
    scenarios: ['join']
  },
  {
    name: 'forged-record-accepted',
    what: "believes what others say in a member's name",
    file: 'src/membership/member-table.ts',
    find: 'if (!verifyRecord(record, signed, this.#clusterId, this.#signer))',
    replace: 'if (signed.signature.length === 0)',
    scenarios: ['adversary']
  },
  {
    name: 'older-record-accepted',
    what: 'takes any record of the present incarnation for news',
    file: 'src/membership/member-table.ts',
    find: 'const stale = known !== undefined && !isNewer(record, known)',
    replace: 'const stale = known !== undefined && record.incarnation < known.incarnation',
    scenarios: ['adversary']
  },
  {
    name: 'incarnation-ignored',
    what: 'orders the records of a node by their number alone, across its restarts',
    seenIn: 'the effect of CASSANDRA-10969: a restarted node is not believed',
    file: 'src/membership/member-table.ts',
    find: 'a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.seq > b.seq)',
    replace: 'a.seq > b.seq',
    scenarios: ['restarts']
  },
  {
    name: 'incarnation-not-raised',
    what: 'begins a new life under the number of the last one',
    file: 'src/membership/incarnation.ts',
    find: 'Math.max(before + 1, atLeast)',
    replace: 'Math.max(before, atLeast)',
    scenarios: ['restarts']
  }
]
