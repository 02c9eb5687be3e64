/**
 * One replica asked about one key. A replica that is not on the list in its own view answers `moved` with what it knows;
 * either we learn from it, or it is behind us and learns from us.
 */
import { CoterieError } from '../errors.ts'
import type { Answer, Request } from '../messages.ts'
import type { Clock, RequestOptions } from '../ports.ts'
import type { Topology } from '../topology.ts'
import { Deadline } from './deadline.ts'
import { expectAnswer, type Peers } from './peers.ts'

/** The ring that the operation was planned on is stale, and ours has just become newer: plan again. */
export class StaleView extends Error {
  override readonly name = 'StaleView'
}

export interface ReplicaParts {
  clock: Clock
  peers: Peers
  topology: Topology
}

/** Asks a list member; one that answers `moved` knows better, and we learn from it, or is behind us, and is told. */
export async function callMember(
  { clock, peers, topology }: ReplicaParts,
  member: string,
  range: number,
  request: Request,
  options: RequestOptions
): Promise<Answer> {
  const deadline = new Deadline(clock, options)
  const answer = await peers.call(member, request, options)
  if (answer.type !== 'moved') return answer
  const news = await topology.learn(answer.claims)
  // Another operation, or gossip, may have brought the same news a moment ago.
  if (news.length > 0 || !topology.view.isMember(range, member)) throw new StaleView()
  // It knows nothing newer, so it is the one that is behind.
  deadline.check('the request')
  await peers.call(member, { type: 'claims', claims: topology.claimsAround(range) }, deadline.options())
  const again = await peers.call(member, request, deadline.options())
  if (again.type !== 'moved') return again
  throw new CoterieError('wrong-node', `${member} does not hold range ${range}, though the ring known here says so`)
}

/** What a node that is not on the list keeps for those that are (design §10). */
export async function readStandIn(
  { peers }: ReplicaParts,
  peer: string,
  range: number,
  key: Uint8Array,
  options: RequestOptions
): Promise<{ state?: Uint8Array; synced: boolean }> {
  return expectAnswer(await peers.call(peer, { type: 'read', range, key, standIn: true }, options), 'state')
}

/** Has a node that is not on the list keep a key state for those that are. */
export async function mergeStandIn(
  { peers }: ReplicaParts,
  peer: string,
  range: number,
  key: Uint8Array,
  state: Uint8Array,
  options: RequestOptions
): Promise<void> {
  expectAnswer(await peers.call(peer, { type: 'merge', range, key, state, standIn: true }, options), 'merged')
}

export async function readReplica(
  parts: ReplicaParts,
  member: string,
  range: number,
  key: Uint8Array,
  options: RequestOptions
): Promise<{ state?: Uint8Array; synced: boolean }> {
  return expectAnswer(
    await callMember(parts, member, range, { type: 'read', range, key, standIn: false }, options),
    'state'
  )
}

export async function mergeReplica(
  parts: ReplicaParts,
  member: string,
  range: number,
  key: Uint8Array,
  state: Uint8Array,
  options: RequestOptions
): Promise<{ siblings: number }> {
  const request = { type: 'merge', range, key, state, standIn: false } as const
  return expectAnswer(await callMember(parts, member, range, request, options), 'merged')
}
