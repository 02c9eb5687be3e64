/** `coterie accept-loss` with node processes: two of three disks are lost, and the third node with them (failures 47). */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { rangeOfKey } from '../../src/store-requests.ts'
import { coterie, type NodeProcess, ProcessCluster } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { type Member, settled } from './settled.ts'

const KEYS = 60
const test = suite('accept-loss')
const cluster = new ProcessCluster(['--ranges', '16'])

// Nobody is dead by silence alone, and who is removed is at once.
test.before(() => cluster.addMany(4, ['--reclaim-after', '0']))
test.after(() => cluster.close())

/** All that a machine has left whose disk was replaced: its key and the secret. */
async function loseDisk(node: NodeProcess, seed: NodeProcess): Promise<void> {
  for (const name of readdirSync(node.dir)) {
    if (!['identity.key', 'secret'].includes(name)) rmSync(join(node.dir, name), { recursive: true })
  }
  await node.start(['--seed', seed.address])
}

test('refused while a copy may return; then what is lost is "no such key", and what came since is there', async () => {
  const [n0, n1, n2, n3] = cluster.nodes as [NodeProcess, NodeProcess, NodeProcess, NodeProcess]
  const all = await Promise.all(cluster.nodes.map(node => cluster.client(node, { route: false })))
  await settled(all)
  const client = all[3]!
  for (let i = 0; i < KEYS; i++) await client.put(`old ${i}`, `value ${i}`)
  await until(
    'nobody keeps any of them for others',
    async () => {
      const stats = await Promise.all(all.map(async one => (await one.info('stats')) as Record<string, number>))
      return stats.every(({ hintRanges }) => hintRanges === 0)
    },
    30_000,
    250
  )
  await Promise.all([n0, n1, n2].map(node => node.stop('SIGKILL')))
  await Promise.all([n0, n1].map(node => loseDisk(node, n3)))
  await until(
    'the others see it down',
    async () =>
      ((await client.info('members')) as Member[]).every(({ peerId, alive }) => alive === (peerId !== n2.peerId)),
    30_000,
    250
  )
  const status = await coterie(['status', '--dir', n3.dir])
  console.log(status.stdout.trim().replace(/^/gm, '| '))
  assert.is(status.code, 4)
  const advice = /without a synced copy, .* coterie accept-loss ([\d ]+)\n/.exec(status.stdout)
  assert.ok(advice, status.stdout)
  const ranges = advice[1]!.split(' ')
  const rangeOf = (key: string) => `${rangeOfKey(new TextEncoder().encode(key), client.cluster.q)}`
  const lost: string[] = []
  const kept: string[] = []
  for (let i = 0; i < KEYS; i++) (ranges.includes(rangeOf(`old ${i}`)) ? lost : kept).push(`old ${i}`)
  assert.ok(lost.length > 0 && kept.length > 0, `${lost.length} of ${KEYS} keys are lost`)
  const code = async (key: string, node = n3) => (await coterie(['get', key, '--dir', node.dir])).code
  assert.is(await code(lost[0]!), 4, 'not available, and not "no such key"')
  assert.is((await coterie(['put', lost[0]!, 'newer', '--dir', n3.dir])).code, 0, 'writes are taken')
  const refused = await coterie(['accept-loss', ...ranges, '--dir', n3.dir])
  console.log(`| accept-loss, a copy may return: exit ${refused.code}: ${refused.stderr.trim().split(';')[0]}`)
  assert.is(refused.code, 5)
  assert.match(refused.stderr, `${n2.peerId} cannot be reached now and may return with its copy`)
  assert.is((await coterie(['remove', n2.peerId, '--dir', n3.dir])).code, 0)
  const accepted = await coterie(['accept-loss', ...ranges, '--dir', n3.dir], { timeoutMs: 60_000 })
  assert.is(accepted.code, 0, accepted.stderr)
  console.log(`| accept-loss ${ranges.join(' ')}: ${accepted.stdout.trim()}`)
  assert.match(accepted.stdout, /^the loss of \d+ ranges? is accepted/)
  for (const node of [n0, n1, n3]) assert.is(await code(lost[1]!, node), 3, 'no such key')
  const again = await coterie(['accept-loss', ...ranges, '--dir', n0.dir])
  assert.is(again.code, 5)
  assert.match(again.stderr, /has a synced copy and can be reached/)
  const whole = await coterie(['status', '--wait', '--dir', n1.dir], { timeoutMs: 120_000 })
  assert.is(whole.code, 0, whole.stderr)
  for (const node of [n0, n1, n3]) {
    const there = await cluster.client(node, { route: false })
    const values = async (key: string) => (await there.get(key)).values.map(bytes => Buffer.from(bytes).toString())
    assert.equal(await values(lost[0]!), ['newer'])
    for (const key of lost.slice(1)) assert.equal(await values(key), [])
    for (const key of kept) assert.equal(await values(key), [key.replace('old', 'value')])
  }
})

test.run()
