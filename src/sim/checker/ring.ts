/** What the ring must never do on the way, whatever it looks like in the end. */
import type { ClaimSeen, ListChange } from '../history.ts'
import type { Case } from './case.ts'
import { type Breach, type Rule, seconds } from './rule.ts'

/**
 * `two-grants`. A range has one owner at each epoch, on all nodes together: its owner signs one grant, and has it on disk
 * before anybody knows of it. Excused for an owner that had lost its directory before it signed the second one. (No other
 * fault of the plan destroys an owner map: they strike range files, and the map is synced when it counts.) Where the owner
 * before was two nodes already, that is what is reported, or was excused. Excused as well where an owner that was given up gives
 * away what another takes over: nobody heard of it any more, or not yet again; and where who takes it over is cut off before
 * others have heard of that, and take it over as well. To rule that out would take a majority's word for each grant; it is settled by
 * peer id. Source: design §6 (safety of movement, death); failures 46.
 */
export const twoGrants: Rule = {
  name: 'two-grants',
  what: 'for one range and epoch there is never more than one owner, on no node',
  source: 'design §6; failures 46',
  always: true,
  check: run => {
    const byEpoch = new Map<string, ClaimSeen[]>()
    for (const claim of run.findings.ring.claims) {
      const name = `${claim.range} ${claim.epoch}`
      byEpoch.set(name, [...(byEpoch.get(name) ?? []), claim])
    }
    const breaches: Breach[] = []
    for (const [first, ...others] of byEpoch.values()) {
      const { range, epoch } = first!
      if ((byEpoch.get(`${range} ${epoch - 1}`)?.length ?? 0) > 1) continue
      const before = byEpoch.get(`${range} ${epoch - 1}`)?.[0]?.owner
      const second = others.find(other => !isForgotten(run, other) && !isTakenOver(run, before, [first!, other]))
      if (second === undefined) continue
      breaches.push({
        message: `range ${range} has two owners at epoch ${epoch}: ${toldOf(first!)}; ${toldOf(second)}`
      })
    }
    return breaches
  }
}

/**
 * `two-members-flipped`. What an owner gives away in one go changes at most one member of each preference list, as its own
 * ring had it: a quorum of the old list and one of the new always meet. Source: design §6 (safety of movement 3).
 */
export const twoMembersFlipped: Rule = {
  name: 'two-members-flipped',
  what: 'no owner changes two members of one preference list at once',
  source: 'design §6 (safety of movement 3)',
  always: true,
  check: run =>
    run.findings.ring.handed.flatMap(({ node, atMs, flips, lists }) => {
      const bad = lists.find(list => without(list.after, list.before) > 1 || without(list.before, list.after) > 1)
      if (bad === undefined) return []
      const given = flips.map(({ range, to }) => `${range} to ${to}`).join(', ')
      return [
        {
          message: `${node} gave ${given} at ${seconds(atMs)}: the list of range ${bad.range} was ${listed(bad.before)}, and is ${listed(bad.after)}`
        }
      ]
    })
}

/** Its granter could not know any more of another grant. */
function isForgotten({ findings }: Case, { by, atMs }: ClaimSeen): boolean {
  return findings.destroyed.some(({ node, how, atMs: struckMs }) => how === 'wipe' && node === by && struckMs <= atMs)
}

/**
 * One of the two is the word of the owner before, and the other that of somebody who had given it up; or both are of such, and
 * the second one could not hear of the first.
 */
function isTakenOver(run: Case, before: string | undefined, claims: readonly ClaimSeen[]): boolean {
  const [given, taken] = [claims.filter(({ by }) => by === before), claims.filter(({ by }) => by !== before)]
  if (before === undefined) return false
  if (given.length === 1) return run.mayBeTakenFrom(before, { givenMs: given[0]!.atMs, takenMs: taken[0]!.atMs })
  const [first, second] = taken.sort((a, b) => a.atMs - b.atMs)
  if (second === undefined || first!.by === undefined || first!.by === second.by) return false
  return run.mayBeGivenUp(before, first!.atMs) && run.isAway(first!.by, first!.atMs, second.atMs)
}

const toldOf = ({ owner, by, node, atMs }: ClaimSeen): string =>
  `${owner}${by === undefined ? '' : ` by grant of ${by}`}, first seen on ${node} at ${seconds(atMs)}`

const without = (some: ListChange['after'], others: ListChange['after']): number =>
  some.filter(member => !others.includes(member)).length

const listed = (members: string[]): string => members.join(' ')
