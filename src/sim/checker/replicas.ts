/** What the cluster holds when it has settled: the same everywhere, for everybody to read. */
import type { KeyFindings } from '../history.ts'
import type { Case } from './case.ts'
import type { KeyCase } from './key-case.ts'
import { type Breach, type Rule, some } from './rule.ts'

/**
 * `diverged`. All members of a key's preference list, min(N, owners) of them, hold a synced copy with the same state of
 * the key; all nodes read the same values, and those are on the replicas. Values that expire are left out of the
 * comparison of reads: each node goes by its own clock. Source: design §10, §11; failures 1, 18, 26.
 */
export const diverged: Rule = {
  name: 'diverged',
  what: 'replicas become identical, and all nodes read the same',
  source: 'design §10, §11; failures 1, 18, 26',
  always: false,
  check: run =>
    run.keys.flatMap(key => {
      if (key.found === undefined || run.isOrphan(key.found)) return []
      const said = [...copiesApart(run, key.found), ...readsApart(run, key, key.found)]
      return said.map(message => ({ key: key.key, message, writes: allValues(key.found!) }))
    })
}

/**
 * `unreadable`. Through every node, every key can be read in the end. Source: design §8 (a read fails only if fewer than R
 * can be reached); failures 36, 43, 47.
 */
export const unreadable: Rule = {
  name: 'unreadable',
  what: 'in the end every key can be read through every node',
  source: 'design §8; failures 36, 43, 47',
  always: false,
  check: run =>
    run.keys.flatMap(({ key, found }) => {
      if (found !== undefined && run.isOrphan(found)) return []
      const failed = found?.reads.filter(({ error }) => error !== undefined) ?? []
      if (failed.length === 0) return []
      const told = failed.map(({ via, error }) => `${via} (${error})`).join(', ')
      return [{ key, message: `${key} cannot be read through ${told}` }]
    })
}

/** In words; empty if nothing is wrong. */
function copiesApart(run: Case, { key, replicas }: KeyFindings): string[] {
  const said: string[] = []
  for (const { node, synced, error } of replicas) {
    if (error !== undefined) said.push(`the replica of ${key} on ${node} cannot be asked: ${error}`)
    else if (!synced) said.push(`the replica of ${key} on ${node} is not synced`)
  }
  const states = new Map<string, string[]>()
  for (const { node, digest, error } of replicas) {
    if (error === undefined) states.set(digest, [...(states.get(digest) ?? []), node])
  }
  if (states.size > 1) {
    const sides = [...states.values()].map(nodes => {
      const { values } = replicas.find(({ node }) => node === nodes[0])!
      return `${nodes.join(', ')} (${some(values)})`
    })
    said.push(`the replicas of ${key} differ: ${sides.join(' | ')}`)
  }
  const owners = new Set(run.findings.nodes[0]?.owners.map(claim => claim.split(' ')[1]))
  const expected = Math.min(run.plan.params.n, owners.size)
  if (replicas.length < expected) said.push(`${key} has ${replicas.length} replicas instead of ${expected}`)
  return said
}

function readsApart(run: Case, key: KeyCase, { reads, replicas }: KeyFindings): string[] {
  const lasting = (values: readonly number[]) =>
    [...new Set(values)].filter(id => key.write(id)?.expiresAtMs === undefined).sort((a, b) => a - b)
  const answers = new Map<string, string[]>()
  for (const { via, values, error } of reads) {
    if (error !== undefined) continue
    const shown = some(lasting(values), Number.POSITIVE_INFINITY)
    answers.set(shown, [...(answers.get(shown) ?? []), via])
  }
  if (answers.size > 1) {
    const sides = [...answers].map(([shown, nodes]) => `${nodes.join(', ')}: ${shown}`)
    return [`nodes read ${key.key} differently: ${sides.join(' | ')}`]
  }
  if (replicas.length === 0 || replicas.some(({ error }) => error !== undefined)) return []
  const held = new Set(replicas.flatMap(({ values }) => values))
  // What expires may have been read by a clock that is behind, and been reaped since.
  const isExpired = (id: number) => {
    const write = key.write(id)
    return write !== undefined && run.clocks.mayBeExpired(write, run.endMs)
  }
  const shown = new Set(reads.flatMap(({ values }) => values))
  const strange = [...shown].filter(id => !held.has(id) && !isExpired(id))
  return strange.length === 0 ? [] : [`reads of ${key.key} show ${some(strange)}, which no replica holds`]
}

const allValues = ({ reads, replicas }: KeyFindings): number[] => [
  ...new Set([...reads, ...replicas].flatMap(({ values }) => values))
]

/**
 * `owners`. All nodes agree on who owns which range, at which epoch; every range has one owner, a node of the cluster that
 * has not left it.
 * Source: design §6, §11; failures 45, 46.
 */
export const owners: Rule = {
  name: 'owners',
  what: 'one owner a range, the same in the view of all nodes',
  source: 'design §6, §11; failures 45, 46',
  always: false,
  check: ({ plan, findings }): Breach[] => {
    const breaches: Breach[] = []
    const [first, ...others] = findings.nodes
    if (first === undefined) return [{ message: 'no node is left' }]
    for (const { node, owners } of others) {
      const range = owners.findIndex((claim, at) => claim !== first.owners[at])
      if (range < 0 && owners.length === first.owners.length) continue
      const at = Math.max(0, range)
      breaches.push({
        message: `${first.node} and ${node} differ on range ${at}: "${first.owners[at]}" and "${owners[at]}" (epoch, owner)`
      })
    }
    const known = new Set(plan.nodes.map(({ name }) => name).filter(name => !findings.left.includes(name)))
    const strange = first.owners.filter(claim => !known.has(claim.split(' ')[1]!))
    if (strange.length > 0)
      breaches.push({ message: `ranges are owned by nobody that is there: ${strange.join(', ')}` })
    // Where every directory that knew of the ring was lost, there is none.
    const isLost = findings.orphans.length === plan.params.q && first.owners.length === 0
    if (first.owners.length !== plan.params.q && !isLost) {
      breaches.push({
        message: `${first.node} knows owners of ${first.owners.length} ranges; there are ${plan.params.q}`
      })
    }
    return breaches
  }
}
