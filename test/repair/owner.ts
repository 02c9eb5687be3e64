/** The owner's side of a movement alone: a real `Handover` and `Topology`, members that answer as a test says, virtual time. */
import { Background } from '../../src/background.ts'
import { type Claim, grantMessage } from '../../src/claim.ts'
import type { Peers } from '../../src/coordinator/peers.ts'
import { CoterieError } from '../../src/errors.ts'
import type { Answer, Request } from '../../src/messages.ts'
import { Handover } from '../../src/repair/handover.ts'
import { Movement } from '../../src/repair/movement.ts'
import { silentLog } from '../../src/runtime.ts'
import { fakeSigner } from '../support/fake-signer.ts'
import { CLUSTER_ID, ringTopology } from '../support/ring-world.ts'
import { virtualTime } from '../support/virtual-time.ts'

const ROUND_TRIP_MS = 1

export interface OwnerOptions {
  /** Known members that own nothing. */
  members?: string[]
  zones?: Record<string, string>
  unreachable?: string[]
}

/**
 * Node A of a ring such as `ABBDAEEE`, a letter a range, N = 3. Members have copies of all they are asked for at once,
 * unless `before` answers in their place; it is told of every call.
 */
export async function ownerOf(ring: string, options: OwnerOptions = {}) {
  const { world, clock, timers } = virtualTime()
  const { files, topology } = await ringTopology(ring, { zoneOf: peerId => options.zones?.[peerId] ?? '' })
  const calls: { to: string; request: Request }[] = []
  const it = { mayGive: true, before: (_to: string, _request: Request): Answer | undefined => undefined }
  const isReachable = (peerId: string) => !options.unreachable?.includes(peerId)
  const peers = {
    self: 'A',
    isReachable,
    byHealth: (peerIds: readonly string[]) => [...peerIds],
    call: async (to: string, request: Request): Promise<Answer> => {
      if (to !== 'A') await timers.sleep(ROUND_TRIP_MS)
      calls.push({ to, request })
      if (!isReachable(to)) throw new CoterieError('unreachable', to)
      return it.before(to, request) ?? answerTo(request)
    }
  } as unknown as Peers
  const background = new Background({ log: silentLog, timers })
  const members = [...new Set([...ring]), ...(options.members ?? [])]
  const parts = { clock, timers, log: silentLog, background, peers, topology, members: () => members }
  const movement = new Movement(parts, { leaseMs: 30_000 })
  const handover = new Handover(
    { ...parts, movement, mayOwn: () => true, mayGive: () => it.mayGive },
    { leaseMs: 30_000 }
  )
  /** Until nothing is under way any more. */
  const rest = () => world.until(() => Object.keys(background.list()).length === 0, 60_000, ROUND_TRIP_MS)
  const ask = (thief: string, range: number) => {
    const { granted, pending, refused } = handover.ask(thief, [range]) as Extract<Answer, { type: 'asked' }>
    return granted.length > 0 ? 'granted' : pending.length > 0 ? 'pending' : refused.length > 0 ? 'refused' : 'nothing'
  }
  return Object.assign(it, { world, files, topology, handover, calls, ask, rest })
}

function answerTo(request: Request): Answer {
  switch (request.type) {
    case 'copies':
      return { type: 'copies', copies: request.ranges.map(range => ({ range, status: 'synced' })) }
    case 'pull':
      return { type: 'pulled', synced: request.ranges, keysDone: 0, keysTotal: 0 }
    default:
      return { type: 'ok' }
  }
}

/** What another owner grants. */
export function grantBy(by: string, range: number, epoch: number, owner: string): Claim {
  const claim = { range, epoch, owner }
  return { ...claim, grant: { by, signature: fakeSigner(by).sign(grantMessage(CLUSTER_ID, claim)) } }
}
