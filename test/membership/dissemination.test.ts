/** How fast a change of the ring, which is a claim in a member's record, reaches everybody (issue 2; Demers et al. 1987). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryHub } from '../support/memory-network.ts'
import { ManualTime, makeNode, roundOfAll, roundsUntil } from './harness.ts'

/** Rounds until one member's claim to a range is with everybody; `bound` is 2·log2(S) + 3. */
export interface DisseminationRow {
  members: number
  changes: number
  meanRounds: number
  maxRounds: number
  bound: number
  bytesPerRound: number
}

export async function measureDissemination(sizes = [5, 10, 20, 40], changes = 5): Promise<DisseminationRow[]> {
  const rows: DisseminationRow[] = []
  for (const size of sizes) {
    const [hub, time] = [new MemoryHub(), new ManualTime()]
    // Rounds are driven by hand; a long interval keeps the timers out of it.
    const nodes = Array.from({ length: size }, (_, i) => makeNode(hub, time, `node-${i}`, { gossipIntervalMs: 1e6 }))
    for (const node of nodes) await node.membership.start()
    await roundsUntil(nodes, time, () => nodes.every(node => node.membership.members().length === size), 30)
    // So that every node's last record is with all before anything is measured.
    for (let i = 0; i < 4; i++) await roundOfAll(nodes, time)
    const sent = () => nodes.reduce((sum, node) => sum + node.membership.stats().sentBytes, 0)
    const [bytesBefore, rounds] = [sent(), [] as number[]]
    for (let change = 0; change < changes; change++) {
      const source = nodes[(change * 7) % size]!.membership
      const grant = { by: nodes[0]!.membership.self, signature: new Uint8Array(64).fill(change) }
      source.update({ claims: [{ range: change, epoch: 2, owner: source.self, grant }] })
      const arrived = () => nodes.every(node => node.membership.member(source.self)!.record.claims[0]?.range === change)
      rounds.push(await roundsUntil(nodes, time, arrived, 30))
    }
    const total = rounds.reduce((sum, count) => sum + count, 0)
    rows.push({
      members: size,
      changes,
      meanRounds: total / changes,
      maxRounds: Math.max(...rounds),
      bound: 2 * Math.log2(size) + 3,
      bytesPerRound: Math.round((sent() - bytesBefore) / total / size)
    })
    await Promise.all(nodes.map(node => node.membership.stop()))
  }
  return rows
}

const test = suite('membership: dissemination')

test('a change of the ring reaches 5, 10, 20 and 40 members within 2·log2(S) + 3 rounds', async () => {
  const rows = await measureDissemination()
  console.log('\n| members | rounds, mean | rounds, most | bound | bytes sent a node and round |')
  for (const { members, meanRounds, maxRounds, bound, bytesPerRound } of rows) {
    console.log(`| ${members} | ${meanRounds.toFixed(1)} | ${maxRounds} | ${bound.toFixed(1)} | ${bytesPerRound} |`)
  }
  for (const { members, maxRounds, bound } of rows) {
    assert.ok(maxRounds > 0 && maxRounds <= bound, `${members} members: ${maxRounds} rounds, at most ${bound}`)
  }
})

test.run()
