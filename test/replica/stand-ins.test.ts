/** What is kept for others: it lasts, it is bounded, and it goes only when nothing has come since the proof. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../src/config.ts'
import { StandIns } from '../../src/replica/stand-ins.ts'
import { silentLog, systemRandom } from '../../src/runtime.ts'
import { encodeState } from '../../src/version/codec.ts'
import { emptyState, write } from '../../src/version/key-state.ts'
import { bytesOf, codeOfRejection, ManualTime } from '../storage/helpers.ts'
import { FakeFiles } from '../support/fake-files.ts'

const test = suite('stand-ins')
const Q = 8
const MAX_BYTES = 100_000

async function opened(files: FakeFiles, durability: 'os' | 'disk' = 'os') {
  await files.makeDir('d')
  const time = new ManualTime()
  const standIns = new StandIns(
    { clock: time, timers: time, random: systemRandom, files, log: silentLog },
    { dir: 'd/stand-ins', q: Q, durability, maxBytes: MAX_BYTES, compactBytes: 1e9, hintBytes: 1e9 }
  )
  await standIns.open()
  return { standIns, time }
}

const intent = (text: string, writeId = '00000000000000aa') => ({
  value: bytesOf(text),
  context: undefined,
  writeId,
  expiresAtMs: 0
})

function stateOf(text: string, counter = 1): Uint8Array {
  const dot = { actor: 'aaaaaaaaaaaaaaaa', counter }
  return encodeState(write(emptyState(), { ...intent(text), dot, nowMs: 0, limits: LIMITS }).state)
}

/** A key, and the range it belongs to. */
function keyed(standIns: StandIns, name: string): [number, Uint8Array] {
  const key = bytesOf(name)
  return [standIns.replicas.rangeOf(key), key]
}

test('what is held is read, and survives a restart and, once acknowledged in disk mode, a power cut', async () => {
  const files = new FakeFiles()
  const first = await opened(files, 'disk')
  const [range, key] = keyed(first.standIns, 'k')
  assert.is(await first.standIns.read(range, key), undefined)
  await first.standIns.hold(range, key, stateOf('v'))
  assert.equal(first.standIns.ranges(), [range])
  files.powerCut()
  const { standIns } = await opened(files, 'disk')
  assert.equal(standIns.ranges(), [range])
  assert.equal(
    (await standIns.read(range, key))!.siblings.map(({ value }) => value),
    [bytesOf('v')]
  )
  assert.is(standIns.replicas.status(range), 'syncing', 'it votes for nothing')
})

test('a write is minted in it, and one with the same id mints nothing', async () => {
  const { standIns } = await opened(new FakeFiles())
  const [range, key] = keyed(standIns, 'k')
  const one = await standIns.write(range, key, intent('v'))
  await one.stored
  const again = await standIns.write(range, key, intent('v'))
  await again.stored
  assert.equal(again.dot, one.dot)
  assert.is((await standIns.read(range, key))!.siblings.length, 1)
})

test('at its bound it declines, and what it has stays', async () => {
  const { standIns } = await opened(new FakeFiles())
  const [range, key] = keyed(standIns, 'k')
  await standIns.hold(range, key, stateOf('v'))
  const [farRange, farKey] = keyed(standIns, 'large')
  assert.is(await codeOfRejection(standIns.hold(farRange, farKey, new Uint8Array(MAX_BYTES))), 'overloaded')
  assert.is(await codeOfRejection(standIns.write(farRange, farKey, intent('x'.repeat(MAX_BYTES)))), 'overloaded')
  assert.equal(standIns.ranges(), [range])
  assert.is(standIns.stats().declined, 2)
})

test('it is dropped only if nothing has come since, or is on its way', async () => {
  const files = new FakeFiles()
  const { standIns } = await opened(files)
  const [range, key] = keyed(standIns, 'k')
  await standIns.hold(range, key, stateOf('v'))
  const before = standIns.changes(range)!
  const release = files.hold('write')
  const held = standIns.hold(range, key, stateOf('w', 2))
  assert.is(standIns.changes(range), undefined, 'one is on its way')
  assert.is(await standIns.drop(range, before), false)
  release()
  await held
  assert.is(await standIns.drop(range, before), false, 'one has come')
  assert.ok(await standIns.read(range, key))
  assert.is(await standIns.drop(range, standIns.changes(range)!), true)
  assert.equal(standIns.ranges(), [])
  assert.is(await standIns.read(range, key), undefined)
  assert.is((await opened(files)).standIns.ranges().length, 0, 'its file is gone')
})

test('what comes while it is dropped is kept', async () => {
  const { standIns } = await opened(new FakeFiles())
  for (let round = 1; round < 20; round++) {
    const [range, key] = keyed(standIns, `k${round}`)
    await standIns.hold(range, key, stateOf('v'))
    const dropped = standIns.drop(range, standIns.changes(range)!)
    const held = standIns.hold(range, key, stateOf('w', round + 1))
    assert.is(await dropped, true)
    await held
    assert.ok(await standIns.read(range, key))
  }
})

test.run()
