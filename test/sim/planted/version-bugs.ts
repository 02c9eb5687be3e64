/** Bugs of what replaces what: dots, contexts, siblings, actors. */
import type { Bug } from './bug.ts'

export const VERSION_BUGS: readonly Bug[] = [
  {
    name: 'context-ignored',
    what: 'keeps what a write with a context has replaced',
    file: 'src/version/key-state.ts',
    find: 'if (covers(context, sibling.dot)) note(',
    replace: 'if (covers(EMPTY_CONTEXT, sibling.dot)) note('
  },
  {
    name: 'blind-write-erases',
    what: 'a write replaces siblings that its writer has never seen',
    seenIn: 'Riak with last-write-wins (Jepsen, 2013)',
    file: 'src/version/key-state.ts',
    find: 'if (covers(context, sibling.dot)) note(',
    replace: 'if (covers(state.context, sibling.dot)) note('
  },
  {
    name: 'put-answer-covers-unseen',
    what: 'gives a writer the context of the whole key, siblings included that it has not seen',
    file: 'src/coordinator/coordinator.ts',
    find: 'context: this.#token(withDot(seen ?? EMPTY_CONTEXT, dot), request.key),',
    replace: 'context: this.#token(state.context, request.key),'
  },
  {
    name: 'dot-taken-for-vector',
    what: "a context with one dot covers all earlier dots of that dot's actor",
    seenIn: 'version vectors with an actor a server, before dots (Preguiça et al., 2012)',
    file: 'src/version/causal-context.ts',
    find: 'return covers(context, dot) ? context : normalise(context.vector, [...context.cloud, dot])',
    replace: 'return withDotsUpTo(context, dot)',
    scenarios: ['hot-key', 'swarm']
  },
  {
    name: 'merge-keeps-one-side',
    what: 'drops siblings that only the other replica has',
    file: 'src/version/key-state.ts',
    find: 'else if (order > 0) keepUnless(b.siblings[right++], a.context)',
    replace: 'else if (order > 0) right++'
  },
  {
    name: 'tombstone-taken-for-nothing',
    what: 'forgets what it knows of a deleted key when somebody brings an old value',
    seenIn: 'Riak (riak_kv#1094, #1725)',
    file: 'src/replica/replicas.ts',
    find: 'const merged = ours === undefined ? theirs :',
    replace: 'const merged = ours === undefined || liveSiblings(ours, this.#clock.wallMs()).length === 0 ? theirs :',
    scenarios: ['deletes']
  },
  {
    name: 'expired-value-served',
    what: 'shows values past their time',
    file: 'src/version/key-state.ts',
    find: 'return sibling.value !== undefined && (sibling.expiresAtMs === 0 || sibling.expiresAtMs > nowMs)',
    replace: 'return sibling.value !== undefined'
  },
  {
    name: 'write-id-made-anew',
    what: 'gives every arrival of a write an id of its own, so that a retry is another write',
    file: 'src/coordinator/coordinator.ts',
    find: "writeId: Buffer.from(request.writeId).toString('hex'),",
    replace:
      "writeId: Buffer.from(request.writeId).toString('hex', 4) + Math.floor(clock.monotonicMs()).toString(16).padStart(8, '0'),",
    scenarios: ['hot-key', 'deletes']
  },
  {
    name: 'lone-sibling-replicated',
    what: 'sends the new sibling with its context, not the key state',
    file: 'src/replica/replicas.ts',
    find: 'return { state: result.state, bytes, dot: result.dot,',
    replace:
      'return { state: result.state, bytes: encodeState({ ...result.state, siblings: result.state.siblings.filter(({ dot }) => dot === result.dot) }), dot: result.dot,',
    scenarios: ['hot-key', 'swarm']
  },
  {
    name: 'actor-kept',
    what: 'goes on minting under the name of a copy that has forgotten something',
    seenIn: 'Riak (riak_kv#679, #1643)',
    file: 'src/replica/replicas.ts',
    find: 'this.#actors.forget(range)\n    this.#sums.forget(range)\n',
    replace: 'this.#sums.forget(range)\n',
    scenarios: ['disk', 'swarm']
  },
  {
    name: 'actor-named-after-range',
    what: 'mints under the number of the range, which all its replicas share',
    seenIn: 'the like in Riak: actors from the time of start (riak_kv#1865)',
    file: 'src/replica/actors.ts',
    find: "actor = { id: Buffer.from(this.#random.bytes(8)).toString('hex'), counter: 0 }",
    replace: "actor = { id: range.toString(16).padStart(16, '0'), counter: 0 }"
  },
  {
    name: 'actor-per-write',
    what: 'draws a new actor for every write, so that contexts grow without end',
    seenIn: 'the like in Riak before 1.0: an actor a client',
    file: 'src/replica/actors.ts',
    find: 'this.#byRange.set(range, actor)',
    replace: '',
    scenarios: ['hot-key']
  }
]
