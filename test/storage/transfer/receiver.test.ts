/** What a receiver refuses, what it survives, and what it leaves behind. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RangeStore } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, codeOfRejection, DIR, keyAt, keysOfRange, openStore, RANGE, settle, textOf } from '../helpers.ts'
import { churn, content, pullAll, sourceStore, transfer } from './transfers.ts'

const test = suite('receiver')
const PART = `${DIR}/0003-0000000001.part`

function copyOf(files: FakeFiles): FakeFiles {
  const copy = new FakeFiles()
  for (const path of files.paths()) copy.set(path, files.peek(path))
  return copy
}

/** A file of a source, whole, and an empty receiver of it. */
async function oneFile(count = 12) {
  const { store, keys } = await sourceStore(new FakeFiles(), count)
  const source = store.exportRange(RANGE)
  const { fileId, bytes } = (await source.refresh())[0]!
  const whole = await source.read(fileId, 0, bytes)
  const files = new FakeFiles()
  const { store: to } = await openStore(files)
  return { from: store, keys, source, fileId, whole, files, to, receiver: await to.receive(RANGE) }
}

/** An older and a newer file of a log whose rewriting was cut short. */
async function twoFiles() {
  const files = new FakeFiles()
  const { store, time } = await sourceStore(files, 10, { compactBytes: 400, cacheBytes: 1 << 20 })
  await churn(store, 9)
  // Into memory: the put does not have to wait for the reads that are held.
  await store.get(RANGE, keyAt('key-0', 0))
  const release = files.hold('read', /0000000001/)
  await time.advance(1000)
  await store.put(RANGE, keyAt('key-0', 0), bytesOf('newer'), 9)
  files.crash()
  release()
  const { store: again } = await openStore(files)
  const source = again.exportRange(RANGE)
  const listed = await source.refresh()
  assert.is(listed.length, 2)
  const whole = await Promise.all(listed.map(({ fileId, bytes }) => source.read(fileId, 0, bytes)))
  return { store: again, source, ids: listed.map(({ fileId }) => fileId), whole }
}

test('a changed byte anywhere is damage; what was good stays, and sent again from its end all arrives', async () => {
  const { from, fileId, whole } = await oneFile(5)
  for (let at = 0; at < whole.length; at++) {
    const files = new FakeFiles()
    const { store: to } = await openStore(files)
    const receiver = await to.receive(RANGE)
    const broken = whole.slice()
    broken[at]! ^= 1 << (at % 8)
    let code: string | undefined
    while (receiver.endOf(fileId) < whole.length && code === undefined) {
      const end = receiver.endOf(fileId)
      code = await codeOfRejection(receiver.append(fileId, end, broken.subarray(end, end + 100)))
    }
    // A flipped padding byte says nothing; a length may make the record look unfinished for a while.
    const isWhole = receiver.progress().some(({ verifiedBytes }) => verifiedBytes === whole.length)
    assert.ok(code === 'damaged' || code === undefined, code)
    if (!isWhole && code === undefined) {
      await receiver.close()
      continue
    }
    const good = receiver.endOf(fileId)
    assert.ok(good === 0 || good <= at || isWhole, `${good} bytes count as good after a flip at ${at}`)
    await receiver.append(fileId, good, whole.subarray(good))
    await receiver.commit()
    assert.equal(await content(to), await content(from), `flip at ${at}`)
    await to.close()
    assert.is(files.openHandles, 0)
  }
})

test('bytes for another offset, of another range, for another file', async () => {
  const { fileId, whole, receiver, to } = await oneFile()
  assert.is(await codeOfRejection(receiver.append(fileId, 8, whole)), 'internal')
  await receiver.append(fileId, 0, whole.subarray(0, 100))
  assert.is(await codeOfRejection(receiver.append(fileId, 0, whole)), 'internal')
  assert.is(await codeOfRejection(receiver.append(fileId, 101, whole.subarray(101))), 'internal')
  assert.is(receiver.endOf(fileId), 100)
  const other = await to.receive(4)
  assert.is(await codeOfRejection(other.append(fileId, 0, whole)), 'damaged')
  assert.is(other.endOf(fileId), 0)
  await other.abandon()
  await receiver.append(fileId, 100, whole.subarray(100))
  await receiver.commit()
})

test('bytes of another file than they were said to be: sent again from its end, the right one arrives', async () => {
  const { from, fileId, whole, receiver, to } = await oneFile()
  const other = (await oneFile()).whole
  assert.is(await codeOfRejection(receiver.append(fileId, 0, other)), 'damaged')
  await receiver.append(fileId, receiver.endOf(fileId), whole.subarray(receiver.endOf(fileId)))
  await receiver.commit()
  assert.equal(await content(to), await content(from))
})

test('a chain that is not whole is not put in place, and nothing has changed', async () => {
  const { store, ids, whole } = await twoFiles()
  const files = new FakeFiles()
  const { store: to } = await openStore(files)
  to.create(RANGE)
  const receiver = await to.receive(RANGE)
  assert.is(await codeOfRejection(receiver.commit()), 'damaged', 'nothing at all')
  await receiver.append(ids[1]!, 0, whole[1]!)
  assert.is(await codeOfRejection(receiver.commit()), 'damaged', 'the newer one alone')
  assert.ok(files.paths().every(path => path.endsWith('part')))
  assert.is(to.stats(RANGE).keys, 0)
  await receiver.abandon()
  const again = await to.receive(RANGE)
  await again.append(ids[0]!, 0, whole[0]!)
  await again.append(ids[1]!, 0, whole[1]!.subarray(0, 20))
  assert.is(await codeOfRejection(again.commit()), 'damaged', 'half a header of the newer one')
  await again.append(ids[1]!, 20, whole[1]!.subarray(20))
  await again.commit()
  assert.equal(await content(to), await content(store))
  await to.put(RANGE, keyAt('key-1', 1), bytesOf('here'), 7)
  await to.close()
  const last = await openStore(files)
  assert.equal([last.report.damages, last.report.ranges], [[], [RANGE]])
  assert.is(textOf(await last.store.get(RANGE, keyAt('key-1', 1))), 'here')
})

test('a range with records takes nothing in; one that gets some meanwhile refuses the commit and keeps them', async () => {
  const { fileId, whole, receiver, to, files } = await oneFile()
  assert.is(await codeOfRejection(to.receive(RANGE)), 'internal', 'one at a time')
  to.create(RANGE)
  await receiver.append(fileId, 0, whole)
  await to.put(RANGE, keyAt('mine', 900), bytesOf('mine'), 1)
  assert.is(await codeOfRejection(receiver.commit()), 'internal')
  assert.is(to.stats(RANGE).keys, 1)
  assert.is(textOf(await to.get(RANGE, keyAt('mine', 900))), 'mine')
  await receiver.abandon()
  assert.is(await codeOfRejection(to.receive(RANGE)), 'internal', 'it has records')
  assert.is(files.paths().filter(path => path.endsWith('part')).length, 0)
  await to.drop(RANGE)
  const again = await to.receive(RANGE)
  await again.append(fileId, 0, whole)
  await again.commit()
  assert.is(await codeOfRejection(to.receive(RANGE)), 'internal')
})

test('puts during a commit are refused for the moment or kept, at whichever of its steps', async () => {
  for (let turns = 0; turns < 120; turns++) {
    const { from, fileId, whole, receiver, to, files } = await oneFile(3)
    to.create(RANGE)
    await receiver.append(fileId, 0, whole)
    const committed = codeOfRejection(receiver.commit())
    for (let turn = 0; turn < turns; turn++) await null
    const put = codeOfRejection(to.put(RANGE, keyAt('mine', 900), bytesOf('mine'), 1))
    const [commit, refusal] = [await committed, await put]
    assert.ok(commit === undefined || commit === 'internal', commit)
    assert.ok(refusal === undefined || refusal === 'overloaded', refusal)
    const expected = commit === undefined ? await content(from) : []
    if (refusal === undefined) expected.push('mine 1 mine')
    assert.equal(await content(to), expected, `after ${turns} turns`)
    await receiver.close()
    await to.close()
    const { store, report } = await openStore(files)
    assert.equal(report.damages, [])
    assert.equal(await content(store), expected, `after ${turns} turns and a restart`)
    await store.close()
    assert.is(files.openHandles, 0)
  }
})

test('a power cut or a kill in a commit: the range is whole or absent, or its parts go on', async () => {
  const { ids, whole, store } = await twoFiles()
  for (let turns = 0; turns < 200; turns += 3) {
    for (const cut of ['powerCut', 'crash'] as const) {
      const files = new FakeFiles()
      const { store: to } = await openStore(files)
      const receiver = await to.receive(RANGE)
      for (const [i, id] of ids.entries()) await receiver.append(id, 0, whole[i]!)
      const committed = codeOfRejection(receiver.commit())
      for (let turn = 0; turn < turns; turn++) await null
      files[cut]()
      // A copy: what the dead process goes on to do in this one never happened.
      const left = copyOf(files)
      await committed
      const { store: again, report } = await openStore(left)
      assert.equal(report.damages, [], `${cut} after ${turns}`)
      if (again.state(RANGE) === 'open' && left.paths().every(path => path.endsWith('log')))
        assert.equal(await content(again), await content(store))
      else {
        // The older file alone, in place: who has not heard of the commit begins anew.
        await again.drop(RANGE)
        await transfer(store, again)
        assert.equal(await content(again), await content(store))
      }
    }
  }
})

test('no room: a clear code, then it goes on from its end; also when there was not room for the first byte', async () => {
  for (const room of [0, 20, 48, 60, 130, 300]) {
    const { from, fileId, whole, receiver, to, files } = await oneFile()
    files.capacityBytes = room
    assert.is(
      await codeOfRejection(receiver.append(fileId, 0, whole.subarray(0, 400))),
      'disk-full',
      `room for ${room}`
    )
    files.capacityBytes = Number.POSITIVE_INFINITY
    const end = receiver.endOf(fileId)
    assert.is(
      await codeOfRejection(receiver.append(fileId, end, whole.subarray(end, 400))),
      undefined,
      `then from ${end}`
    )
    await receiver.append(fileId, 400, whole.subarray(400))
    await receiver.commit()
    assert.equal(await content(to), await content(from))
  }
})

test('no file handle: overloaded, at each step, then it goes on', async () => {
  const { from, fileId, whole, receiver, to, files } = await oneFile()
  files.maxOpen = 0
  assert.is(await codeOfRejection(receiver.append(fileId, 0, whole)), 'overloaded')
  files.maxOpen = 1
  await receiver.append(fileId, receiver.endOf(fileId), whole)
  assert.is(await codeOfRejection(receiver.commit()), 'overloaded')
  assert.is(to.state(RANGE), 'absent')
  await receiver.close()
  files.maxOpen = 0
  assert.is(await codeOfRejection(to.receive(RANGE)), 'overloaded')
  files.maxOpen = 10
  const again = await to.receive(RANGE)
  await again.commit()
  assert.equal(await content(to), await content(from))
  await to.close()
  assert.is(files.openHandles, 0)
})

test('close keeps the parts, abandon unlinks them for good; neither leaves a handle', async () => {
  const { from, fileId, whole, receiver, to, files } = await oneFile()
  await receiver.append(fileId, 0, whole.subarray(0, 500))
  await receiver.close()
  await receiver.close()
  assert.equal([files.openHandles, files.paths()], [0, [PART]])
  assert.is(await codeOfRejection(receiver.append(fileId, 0, whole)), 'closed')
  assert.is(await codeOfRejection(receiver.commit()), 'closed')
  const again = await to.receive(RANGE)
  assert.ok(again.endOf(fileId) > 300)
  await again.abandon()
  assert.equal([files.openHandles, files.paths()], [0, []])
  files.powerCut()
  assert.equal(files.paths(), [])
  const { store } = await openStore(files)
  await transfer(from, store)
  assert.equal(await content(store), await content(from))
  const late = await store.receive(4)
  await store.close()
  assert.is(await codeOfRejection(late.commit()), 'damaged')
  await late.close()
  assert.is(await codeOfRejection(store.receive(4)), 'closed')
})

test('a part that a disk has spoiled is kept as far as it is good; one that it cannot read leaves no handle', async () => {
  const { from, fileId, whole, receiver, to, files } = await oneFile()
  await receiver.append(fileId, 0, whole)
  await receiver.close()
  files.poke(PART, 300, [0xff, 0xff])
  files.poke(PART, whole.length, new Uint8Array(100).fill(3))
  files.fail('read', 'EACCES', { path: /part/ })
  await codeOfRejection(to.receive(RANGE))
  assert.is(files.openHandles, 0)
  const again = await to.receive(RANGE)
  const end = again.endOf(fileId)
  assert.ok(end > 100 && end <= 300, `${end}`)
  await again.append(fileId, end, whole.subarray(end))
  await again.commit()
  assert.equal(await content(to), await content(from))
})

async function emptyAfterRefusal(to: RangeStore, files: FakeFiles): Promise<void> {
  to.create(RANGE)
  files.capacityBytes = 30
  assert.is(await codeOfRejection(to.put(RANGE, keysOfRange(1)[0]!, bytesOf('v'), 1)), 'disk-full')
  files.capacityBytes = Number.POSITIVE_INFINITY
}

test('an empty range whose first put was refused gives way, with its file and its handle', async () => {
  const { from, fileId, whole, files, to, receiver } = await oneFile()
  await emptyAfterRefusal(to, files)
  await receiver.append(fileId, 0, whole)
  await receiver.commit()
  await settle()
  assert.equal(await content(to), await content(from))
  await to.close()
  assert.is(files.openHandles, 0)
  await (await openStore(files)).store.close()
  assert.not(files.paths().includes(`${DIR}/0003-0000000001.log`))
})

test('an export and a receiver of one store, side by side', async () => {
  const { from, source, receiver, to } = await oneFile()
  await receiver.commit(await pullAll(source, receiver, 33))
  await source.close()
  assert.equal(await content(to), await content(from))
})

test('what comes in order, from the start, is not read again; what goes on with an earlier part is', async () => {
  for (const way of ['whole', 'in pieces', 'resumed'] as const) {
    const { from, to, files, receiver, fileId, whole } = await oneFile(8)
    const reads = files.counts.read ?? 0
    if (way === 'whole') await receiver.append(fileId, 0, whole)
    else for (let at = 0; at < whole.length; at += 50) await receiver.append(fileId, at, whole.subarray(at, at + 50))
    assert.is(files.counts.read ?? 0, reads, 'receiving reads nothing')
    let last = receiver
    if (way === 'resumed') {
      await receiver.close()
      last = await to.receive(RANGE)
    }
    const before = files.counts.read ?? 0
    await last.commit([{ fileId, bytes: whole.length }])
    assert.is((files.counts.read ?? 0) > before, way === 'resumed', way)
    assert.equal(await content(to), await content(from), way)
    const { keys, liveBytes } = to.stats(RANGE)
    assert.equal([keys, liveBytes], [from.stats(RANGE).keys, from.stats(RANGE).liveBytes], way)
    await to.close()
    assert.is(files.openHandles, 0)
  }
})

test('after damage on the way, or a write that failed, the index is not the one of what came first', async () => {
  const { from, to, receiver, fileId, whole } = await oneFile(8)
  const broken = whole.slice()
  broken[whole.length - 20]! ^= 1
  assert.is(await codeOfRejection(receiver.append(fileId, 0, broken)), 'damaged')
  const end = receiver.endOf(fileId)
  await receiver.append(fileId, end, whole.subarray(end))
  await receiver.commit([{ fileId, bytes: whole.length }])
  assert.equal(await content(to), await content(from))
  assert.is(to.stats(RANGE).keys, from.stats(RANGE).keys)
  await to.close()
})

test.run()
