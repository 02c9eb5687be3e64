/** Issue 6: two of five node processes are killed together and stay away; the others take over, and nothing is lost. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { CoterieClient } from '../../src/client/client.ts'
import { coterie, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 500
const RECLAIM_S = 5
const test = suite('death of processes')
const cluster = new ProcessCluster(['--ranges', '32'])

test.before(() => cluster.addMany(5, ['--reclaim-after', `${RECLAIM_S}`]))
test.after(() => cluster.close())

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

async function wrong(client: CoterieClient): Promise<string[]> {
  const bad: string[] = []
  for (let i = 0; i < KEYS; i++) {
    const { values } = await client.get(`key ${i}`, { timeoutMs: 10_000 })
    if (values.map(text).join() !== `value ${i}`) bad.push(`key ${i}: ${values.map(text)}`)
  }
  return bad
}

test('two of five are killed together: every range has three copies again, and a dead one that returns has its share', async () => {
  const { nodes } = cluster
  const all = await Promise.all(nodes.map(node => cluster.client(node, { route: false })))
  await settled(all)
  for (let i = 0; i < KEYS; i++) await all[i % 5]!.put(`key ${i}`, `value ${i}`)
  const [dead, other] = nodes.slice(3) as [(typeof nodes)[number], (typeof nodes)[number]]
  await Promise.all([dead.stop('SIGKILL'), other.stop('SIGKILL')])
  const survivors = all.slice(0, 3)
  const short = await coterie(['status', '--dir', nodes[0]!.dir])
  assert.is(short.code, 4)
  assert.match(short.stdout, /of 32 ranges have fewer than 3 synced copies/)
  await until(
    'the survivors own everything',
    async () => {
      const members = (await survivors[0]!.info('members')) as Member[]
      return members.filter(({ alive }) => alive).reduce((sum, { ranges }) => sum + ranges, 0) === 32
    },
    120_000,
    250
  )
  const status = await coterie(['status', '--wait', '--dir', nodes[0]!.dir, '--json'], { timeoutMs: 120_000 })
  assert.is(status.code, 0, status.stderr)
  assert.equal(JSON.parse(status.stdout), { ranges: 32, copies: 3, whole: 32, short: [], crowded: [], silent: [] })
  await until(
    'every copy is synced, on three nodes',
    async () => {
      const copies = await Promise.all(
        survivors.map(async client => (await client.info('copies')) as { range: number; status: string }[])
      )
      return copies.every(held => held.length === 32 && held.every(({ status }) => status === 'synced'))
    },
    120_000,
    250
  )
  for (const client of survivors) assert.equal(await wrong(client), [])
  assert.equal((await survivors[0]!.get('never written')).values, [])
  for (let i = 0; i < KEYS; i += 10)
    await survivors[0]!.put(`key ${i}`, `value ${i}`, { context: (await survivors[0]!.get(`key ${i}`)).context })
  await dead.start()
  const back = await cluster.client(dead, { route: false })
  await until(
    'it owns its share again',
    async () => {
      const members = (await back.info('members')) as Member[]
      const owned = members.filter(({ alive }) => alive).map(({ ranges }) => ranges)
      return owned.length === 4 && owned.every(ranges => Math.abs(ranges - 8) <= 2)
    },
    120_000,
    250
  )
  await until(
    'nothing moves any more',
    async () => {
      for (const client of [...survivors, back]) {
        const stats = (await client.info('stats')) as Record<string, number>
        if (stats.copiesSyncing + stats.copiesFrozen + stats.rangesAskedFor > 0) return false
      }
      return true
    },
    120_000,
    250
  )
  assert.equal(await wrong(back), [])
})

test.run()
