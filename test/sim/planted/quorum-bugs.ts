/** Bugs of what is acknowledged, and of replicas that are to become the same. */
import type { Bug } from './bug.ts'

export const QUORUM_BUGS: readonly Bug[] = [
  {
    name: 'write-quorum-off-by-one',
    what: 'counts one replica more than has stored a write',
    file: 'src/coordinator/quorum.ts',
    find: 'return this.#members.filter(member => this.#acked.has(member)).length',
    replace: 'return this.#members.filter(member => this.#acked.has(member)).length + 1',
    scenarios: ['partition', 'hot-key']
  },
  {
    name: 'read-quorum-off-by-one',
    what: 'counts one answer of a read twice',
    file: 'src/coordinator/quorum.ts',
    find: 'this.#answers.set(member, synced)',
    replace: "this.#answers.set(member, synced).set('', synced)",
    scenarios: ['partition', 'hot-key', 'calm']
  },
  {
    name: 'syncing-copy-votes-absent',
    what: 'lets a copy that is still being filled say that there is no such key',
    seenIn: 'Riak before 1.0: ownership before the data',
    file: 'src/coordinator/quorum.ts',
    find: "if (answers.filter(synced => synced).length >= this.#needed) return 'absent'",
    replace: "if (answers.length >= this.#needed) return 'absent'",
    scenarios: ['wipe']
  },
  {
    name: 'hedge-counts-twice',
    what: 'counts every answer of a read twice once it has asked one replica more than R',
    file: 'src/coordinator/read.ts',
    find: 'this.#quorum.answer(member, shows, synced)',
    replace:
      "for (const again of this.#asked > this.#target.needed ? ['', '2'] : ['']) this.#quorum.answer(member + again, shows, synced)",
    scenarios: ['pauses', 'hot-key', 'swarm']
  },
  {
    name: 'own-ack-not-awaited',
    what: 'counts its own copy before that has stored the write',
    file: 'src/coordinator/write.ts',
    find: 'if (member === this.#parts.peers.self && !asStandIn) await this.#written.stored',
    replace: 'if (member === this.#parts.peers.self && !asStandIn) void this.#written.stored',
    scenarios: ['power', 'disk', 'swarm']
  },
  {
    name: 'replica-acks-before-storing',
    isLost: true,
    what: 'acknowledges to the coordinator what it may yet fail to store',
    seenIn: 'MongoDB without the journal in its write concern',
    file: 'src/dispatch.ts',
    find: 'await replicas.merge(range, key, state, from.peerId)',
    replace: 'replicas.merge(range, key, state, from.peerId).catch(() => undefined)',
    scenarios: ['power', 'disk', 'swarm']
  },
  {
    name: 'slot-leaked',
    what: 'never gives back the place of a read in the bound on requests',
    file: 'src/dispatch.ts',
    find: 'this.#inFlight--',
    replace: "if (request.type !== 'get') this.#inFlight--"
  },
  {
    name: 'anti-entropy-compares-nothing',
    what: 'runs sessions of anti-entropy over no ranges at all',
    file: 'src/repair/anti-entropy.ts',
    find: 'compareRanges(this.#parts, peer, held, {',
    replace: 'compareRanges(this.#parts, peer, [], {',
    scenarios: ['partition', 'swarm']
  },
  {
    name: 'sums-not-kept-up',
    what: 'never changes the sums of a copy once they are worked out, so that copies look equal that are not',
    file: 'src/replica/key-appends.ts',
    find: 'if (inPlace) sums.replace(range, key, oldTag, tag)',
    replace: 'if (inPlace) void oldTag',
    scenarios: ['partition', 'swarm']
  }
]
