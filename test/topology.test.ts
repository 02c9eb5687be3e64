import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Claim, grantMessage } from '../src/claim.ts'
import { lineLog, silentLog } from '../src/runtime.ts'
import { Topology } from '../src/topology.ts'
import { FakeFiles } from './support/fake-files.ts'
import { fakeSigner } from './support/fake-signer.ts'

const test = suite('topology')
const Q = 8
const PARAMS = { clusterId: 'c'.repeat(32), name: 't', q: Q, n: 3, r: 2, w: 2 }
const RANGES = Array.from({ length: Q }, (_, range) => range)

async function topologyOf(peerId: string, files = new FakeFiles(), log = silentLog): Promise<Topology> {
  await files.makeDir('d')
  const ports = { files, signer: fakeSigner(peerId), log }
  const topology = new Topology(ports, { dir: 'd', params: PARAMS, zoneOf: () => '' })
  await topology.open()
  return topology
}

const founded = (owner: string): Claim[] => RANGES.map(range => ({ range, epoch: 1, owner }))

function granted(range: number, epoch: number, owner: string, by: string): Claim {
  const claim = { range, epoch, owner }
  return { ...claim, grant: { by, signature: fakeSigner(by).sign(grantMessage(PARAMS.clusterId, claim)) } }
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    error => error
  )

test('what is taken in is news, is on disk, is told to listeners and makes a new view', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  assert.is(topology.complete, false)
  const told: Claim[][] = []
  topology.onChange(changed => told.push(changed))
  const { version } = topology
  assert.is((await topology.apply(founded('a'))).length, Q)
  assert.ok(topology.complete && topology.version > version)
  assert.equal(await topology.apply(founded('a')), [])
  assert.is(told.length, 1)
  await topology.apply([granted(3, 2, 'b', 'a')])
  assert.equal(topology.view.owners(), ['a', 'b'])
  const again = await topologyOf('b', files)
  assert.equal(again.claims(), topology.claims())
  assert.equal(again.ownClaims(), [granted(3, 2, 'b', 'a')])
  assert.is(topology.ownClaims().length, Q)
})

test('an operation under way learns of owners though the disk is full; who wants it kept is told', async () => {
  const lines: string[] = []
  const files = new FakeFiles()
  const topology = await topologyOf(
    'a',
    files,
    lineLog('warn', line => lines.push(line))
  )
  await topology.apply(founded('a'))
  files.fail('replaceFile', 'ENOSPC', { path: /ring/, times: 2 })
  assert.equal(await topology.learn([granted(1, 2, 'b', 'a')]), [granted(1, 2, 'b', 'a')])
  assert.is(topology.claim(1)?.owner, 'b')
  assert.match(lines[0], /the owner map could not be written down .*ENOSPC/)
  assert.match(String(await failure(topology.apply([granted(2, 2, 'b', 'a')]))), 'ENOSPC')
  assert.is(topology.claim(2)?.owner, 'b')
  await topology.learn([granted(3, 2, 'b', 'a')])
  assert.equal((await topologyOf('a', files)).claims(), topology.claims(), 'there is room again: all of it is written')
})

test('what a second founder claims is refused, and told once, not for every range', async () => {
  const lines: string[] = []
  const topology = await topologyOf(
    'b',
    new FakeFiles(),
    lineLog('warn', line => lines.push(line))
  )
  await topology.apply(founded('b'))
  assert.equal(await topology.apply(founded('a')), [])
  assert.equal(topology.view.owners(), ['b'])
  assert.is(lines.length, 1)
  assert.match(lines[0], `refused claims that nobody has signed ranges=${Q} range=0 epoch=1 owner=a`)
})

test('claims that nobody has signed are refused', async () => {
  const topology = await topologyOf('a')
  await topology.apply(founded('a'))
  const forged = granted(1, 2, 'm', 'a')
  const wrong: Claim[] = [
    { range: 1, epoch: 2, owner: 'm' },
    { ...forged, grant: { by: 'a', signature: new Uint8Array(64) } },
    // Signed for another owner, range, epoch or cluster.
    { ...granted(1, 2, 'x', 'a'), owner: 'm' },
    { ...granted(2, 2, 'm', 'a'), range: 1 },
    { ...granted(1, 3, 'm', 'a'), epoch: 2 },
    {
      ...forged,
      grant: {
        by: 'a',
        signature: fakeSigner('a').sign(grantMessage('d'.repeat(32), { range: 1, epoch: 2, owner: 'm' }))
      }
    },
    // Granted by itself: only a reclaim may be.
    granted(1, 2, 'm', 'm'),
    // No range or epoch of this ring.
    granted(Q, 2, 'm', 'a'),
    granted(-1, 2, 'm', 'a'),
    granted(1.5, 2, 'm', 'a'),
    { range: 1, epoch: 0, owner: 'm' }
  ]
  for (const claim of wrong) assert.equal(await topology.apply([claim]), [], JSON.stringify(claim))
  assert.is(topology.claim(1)?.owner, 'a')
  // One bad claim does not hold up the good ones beside it.
  assert.equal(await topology.apply([wrong[0], granted(2, 2, 'b', 'a')]), [granted(2, 2, 'b', 'a')])
})

test('a reclaim takes a range from whom it names as dead, and only from them; whoever hears of it takes it in', async () => {
  const topology = await topologyOf('c')
  await topology.apply(founded('a'))
  await topology.apply([granted(1, 2, 'b', 'a')])
  const flips = [0, 1].map(range => ({ range, to: 'd' }))
  const claims = await topology.reclaim(flips, owner => owner === 'a')
  assert.equal(
    claims.map(({ range, epoch, owner, grant }) => ({ range, epoch, owner, by: grant?.by })),
    [{ range: 0, epoch: 2, owner: 'd', by: 'c' }]
  )
  assert.ok(
    topology.ownClaims().some(({ range }) => range === 0),
    'its record tells the others'
  )
  assert.equal(
    await topology.reclaim(
      [{ range: 2, to: 'd' }],
      () => true,
      () => false
    ),
    []
  )
  const other = await topologyOf('z')
  await other.apply(founded('a'))
  assert.equal(await other.apply(claims), claims)
  assert.equal(await other.apply([{ ...claims[0]!, range: 3 }]), [], 'it was signed for another range')
})

test('of two who take one range at once all agree on one, in whatever order they hear of it, and are told', async () => {
  const one = (
    await topologyOf('m').then(async topology => {
      await topology.apply(founded('a'))
      return topology.reclaim([{ range: 0, to: 'd' }], () => true)
    })
  )[0]!
  const two = (
    await topologyOf('n').then(async topology => {
      await topology.apply(founded('a'))
      return topology.reclaim([{ range: 0, to: 'c' }], () => true)
    })
  )[0]!
  const later = granted(0, 3, 'e', 'd')
  for (const order of [
    [one, two, later],
    [two, one, later],
    [later, two, one],
    [one, later, two]
  ]) {
    const topology = await topologyOf('z')
    const collisions: string[] = []
    topology.onCollision(({ owner }) => collisions.push(owner))
    await topology.apply(founded('a'))
    for (const claim of order) await topology.apply([claim])
    assert.is(topology.claim(0)?.owner, 'e')
    assert.equal(collisions, order.indexOf(later) === 2 ? ['d'] : [])
  }
})

test('claims in any order, in any portions, any number of times, make the same map', async () => {
  const owners = ['a', 'b', 'c']
  const chain = fc.array(fc.constantFrom(...owners), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(chain, { minLength: Q, maxLength: Q }),
      fc.infiniteStream(fc.nat()),
      async (chains, picks) => {
        const claims = chains.flatMap((chain, range) =>
          chain.map((owner, i) => (i === 0 ? { range, epoch: 1, owner } : granted(range, i + 1, owner, chain[i - 1])))
        )
        const one = await topologyOf('z')
        await one.apply(claims)
        const other = await topologyOf('z')
        const shuffled = claims
          .map(claim => ({ claim, at: picks.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ claim }) => claim)
        await Promise.all([...shuffled, ...shuffled.slice(0, 3)].map(claim => other.apply([claim])))
        assert.equal(other.claims(), one.claims())
        assert.equal(
          one.claims().map(({ owner }) => owner),
          chains.map(chain => chain.at(-1))
        )
      }
    ),
    { numRuns: 40 }
  )
})

test('a grant takes effect, for this node too, only once it is on disk', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  await topology.apply(founded('a'))
  let told = 0
  topology.onChange(() => told++)
  const release = files.hold('replaceFile', /ring\.bin/)
  const granting = topology.grant([{ range: 4, to: 'b' }])
  const second = topology.grant([{ range: 4, to: 'c' }])
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  assert.is(topology.claim(4)?.owner, 'a')
  assert.is(topology.view.owner(4), 'a')
  assert.is(told, 0)
  release()
  assert.equal(await granting, [granted(4, 2, 'b', 'a')])
  // Whoever asks a moment later gets nothing: one grant per range and epoch.
  assert.equal(await second, [])
  assert.is(topology.claim(4)?.owner, 'b')
  assert.is(told, 1)
})

test('a crash at the write of a grant never leads to two grants for one epoch', async () => {
  for (const survives of [false, true]) {
    const files = new FakeFiles()
    const topology = await topologyOf('a', files)
    await topology.apply(founded('a'))
    if (!survives) files.fail('replaceFile', 'EIO')
    const first = await topology.grant([{ range: 4, to: 'b' }]).catch(() => undefined)
    files.powerCut()
    const again = await topologyOf('a', files)
    const second = await again.grant([{ range: 4, to: 'c' }])
    const left = [...(first ?? []), ...second].filter(({ range, epoch }) => range === 4 && epoch === 2)
    assert.is(left.length, 1)
    assert.is(left[0].owner, survives ? 'b' : 'c')
  }
})

test('a grant that could not be written leaves the range where it was, and the next one works', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  await topology.apply(founded('a'))
  files.fail('replaceFile', 'ENOSPC')
  assert.match(String(await failure(topology.grant([{ range: 2, to: 'b' }]))), 'ENOSPC')
  assert.is(topology.claim(2)?.owner, 'a')
  assert.is((await topology.grant([{ range: 2, to: 'c' }]))[0].owner, 'c')
})

/** Of what the next start would find. */
const mapOnDisk = (files: FakeFiles) => [...files.peek('d/ring.bin')]

test('a plan that is void before its grants are written gives nothing away and writes nothing', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  await topology.apply(founded('a'))
  const before = mapOnDisk(files)
  const writes = files.counts.replaceFile
  let told = 0
  topology.onChange(() => told++)
  // It was valid when the grant was asked for; the write before it took its time.
  const release = files.hold('replaceFile', /ring\.bin/)
  const earlier = topology.grant([{ range: 1, to: 'b' }])
  const late = topology.grant([{ range: 4, to: 'b' }], () => topology.claim(1)?.owner === 'a')
  release()
  assert.is((await earlier).length, 1)
  assert.equal(await late, [])
  assert.equal([topology.claim(4)?.owner, topology.view.owner(4), told], ['a', 'a', 1])
  assert.is.not(mapOnDisk(files).join(), before.join(), 'the earlier one')
  assert.is(files.counts.replaceFile, writes! + 1)
  assert.equal(await topology.grant([{ range: 4, to: 'b' }], () => false), [])
  assert.is(files.counts.replaceFile, writes! + 1)
})

test('a plan that becomes void while its grants are written gives nothing away, and the file says so', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  await topology.apply(founded('a'))
  const before = mapOnDisk(files)
  let told = 0
  topology.onChange(() => told++)
  let isPlanned = true
  const release = files.hold('replaceFile', /ring\.bin/)
  const granting = topology.grant([{ range: 4, to: 'b' }], () => isPlanned)
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  isPlanned = false
  release()
  assert.equal(await granting, [])
  assert.equal([topology.claim(4)?.owner, topology.view.owner(4), told], ['a', 'a', 0])
  assert.equal(mapOnDisk(files), before)
  // A restart must not find a grant that nobody was given; the epoch is free for the next one.
  assert.equal((await topologyOf('a', files)).claims(), topology.claims())
  assert.equal(await topology.grant([{ range: 4, to: 'c' }]), [granted(4, 2, 'c', 'a')])
})

test('facts that arrive while a grant is written are kept, and neither write loses the other', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('a', files)
  await topology.apply([...founded('a').slice(0, 4), ...founded('b').slice(4)])
  const release = files.hold('replaceFile', /ring\.bin/)
  const granting = topology.grant([{ range: 0, to: 'c' }])
  const applying = topology.apply([granted(5, 2, 'd', 'b')])
  release()
  await Promise.all([granting, applying])
  const again = await topologyOf('a', files)
  assert.equal([again.claim(0)?.owner, again.claim(5)?.owner], ['c', 'd'])
  assert.equal(again.claims(), topology.claims())
})

test('facts that could not be written are told to whoever brought them, held in memory, and written with the next', async () => {
  const files = new FakeFiles()
  const topology = await topologyOf('z', files)
  files.fail('replaceFile', 'ENOSPC')
  assert.match(String(await failure(topology.apply(founded('a')))), 'ENOSPC')
  assert.ok(topology.complete)
  await topology.apply([granted(0, 2, 'b', 'a')])
  assert.equal((await topologyOf('z', files)).claims(), topology.claims())
})

test('only ranges of this node are given away', async () => {
  const topology = await topologyOf('a')
  await topology.apply([...founded('a').slice(0, 2), ...founded('b').slice(2)])
  const claims = await topology.grant([
    { range: 1, to: 'c' },
    { range: 5, to: 'c' }
  ])
  assert.equal(
    claims.map(({ range }) => range),
    [1]
  )
  assert.equal(await topology.grant([{ range: 5, to: 'c' }]), [])
})

test('a damaged map is put aside and learnt anew, and is remembered as lost', async () => {
  for (const damage of [Uint8Array.of(1, 2, 3), new Uint8Array(), undefined]) {
    const files = new FakeFiles()
    const first = await topologyOf('a', files)
    assert.is(first.damaged, false)
    await first.apply(founded('a'))
    const bytes = files.peek('d/ring.bin')
    bytes[bytes.length >> 1] ^= 1
    files.set('d/ring.bin', damage ?? bytes)
    const topology = await topologyOf('a', files)
    assert.is(topology.complete, false)
    assert.is(topology.damaged, true)
    assert.ok(files.paths().includes('d/ring.bin.damaged'))
    assert.is((await topologyOf('a', files)).damaged, true)
    await topology.apply(founded('a'))
    assert.ok((await topologyOf('a', files)).complete)
  }
})

test('the facts around a range decide its preference list', async () => {
  const topology = await topologyOf('a')
  await topology.apply(RANGES.map(range => ({ range, epoch: 1, owner: 'abcde'[range % 5] })))
  for (const range of RANGES) {
    const other = await topologyOf('z')
    await other.apply(topology.claimsAround(range))
    assert.equal(other.view.preferenceList(range), topology.view.preferenceList(range))
  }
})

test.run()
