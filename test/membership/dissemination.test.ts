import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryHub } from '../support/memory-network.ts'
import { ManualTime, makeNode, roundOfAll, roundsUntil } from './harness.ts'

/** Rounds until one member's change is with everybody; `bound` is 2·log2(S) + 3. */
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
      source.update({ zone: `zone-${change}` })
      const arrived = () => nodes.every(node => node.membership.member(source.self)!.record.zone === `zone-${change}`)
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

test('a change reaches 5, 10, 20 and 40 members within 2·log2(S) + 3 rounds', async () => {
  const rows = await measureDissemination()
  console.log('\nmembers  mean rounds  max rounds  bound  bytes sent a node and round')
  for (const { members, meanRounds, maxRounds, bound, bytesPerRound } of rows) {
    const cells = [`${members}`.padStart(7), meanRounds.toFixed(1).padStart(11), `${maxRounds}`.padStart(10)]
    console.log([...cells, bound.toFixed(1).padStart(5), `${bytesPerRound}`.padStart(5)].join('  '))
  }
  for (const { members, maxRounds, bound } of rows) {
    assert.ok(maxRounds > 0 && maxRounds <= bound, `${members} members: ${maxRounds} rounds, at most ${bound}`)
  }
})

test.run()
