import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../../src/background.ts'
import { joined } from '../../src/bytes.ts'
import { CoterieError } from '../../src/errors.ts'
import type { Network } from '../../src/ports.ts'
import { FileFills } from '../../src/repair/file-fills.ts'
import { decodeSync, encodeSync, type SyncMessage } from '../../src/repair/sync-codec.ts'
import { Transfers } from '../../src/repair/transfers.ts'
import { silentLog, systemTimers } from '../../src/runtime.ts'
import { answerOn } from '../support/compare-session.ts'
import { duplexPair, type MemoryPipe } from '../support/memory-duplex.ts'
import { keysIn, LEAST_FILE_BYTES, type MemoryReplica, openReplica, put, valuesOf } from '../support/memory-replica.ts'
import { until } from '../support/until.ts'

const test = suite('file fills')
const LEASE_MS = 1000
const [SMALL, RANGE, OTHER] = [1, 2, 3]
/** Of values of 1 KiB: several pieces. */
const KEYS = 900

const text = (key: string) => `${key} `.repeat(1024 / (key.length + 1))

/** A source with much in two ranges and little in one, and a node that has nothing. */
async function world({ keys = KEYS } = {}) {
  const source = await openReplica()
  const member = await openReplica(undefined, { ranges: [] })
  for (const [range, count] of [
    [SMALL, 2],
    [RANGE, keys],
    [OTHER, 20]
  ] as const)
    await Promise.all(keysIn(range, count).map(key => put(source, key, text(key))))
  const it = {
    nowMs: 0,
    sessions: 0,
    /** Sees every message from the source before the member does; undefined: it does not arrive, and the stream is cut. */
    between: async (message: SyncMessage): Promise<SyncMessage | undefined> => message
  }
  const open = async () => {
    it.sessions++
    const pipe = duplexPair()
    answerOn(pipe, source).catch(() => undefined)
    return { ...pipe.left, source: watched(pipe) }
  }
  async function* watched({ left, abort }: MemoryPipe) {
    for await (const bytes of left.source) {
      const message = await it.between(decodeSync(bytes))
      if (message === undefined) {
        const error = new CoterieError('unreachable', 'cut')
        abort(error)
        throw error
      }
      yield joined(encodeSync(message))
    }
  }
  const clock = { wallMs: () => Date.now(), monotonicMs: () => it.nowMs }
  const ports = { clock, timers: systemTimers, log: silentLog, network: { open } as unknown as Network }
  const transfers = new Transfers()
  const parts = { ...ports, background: new Background(ports), copyFiles: member.copyFiles, transfers }
  const fills = new FileFills(parts, { leaseMs: LEASE_MS })
  const fill = async (...ranges: number[]) => {
    for (const range of ranges) fills.want(range, 'source')
    await fills.run(ranges)
  }
  return Object.assign(it, { source, member, fills, transfers, fill })
}

async function mustEqual(source: MemoryReplica, member: MemoryReplica, range: number): Promise<void> {
  await member.replicas.create([range])
  assert.equal(member.replicas.sums(range).total(), source.replicas.sums(range).total())
}

const partsIn = ({ files }: MemoryReplica) => files.paths().filter(path => path.endsWith('.part'))

test('a copy comes as the files that its source has; a small one does not, and its source must have it', async () => {
  const { source, member, fills, transfers, fill } = await world()
  await fill(SMALL, RANGE, OTHER, 5)
  for (const range of [SMALL, RANGE, OTHER, 5]) assert.ok(fills.isOver(range))
  assert.is(member.store.state(SMALL), 'absent')
  assert.is(member.store.state(5), 'absent')
  assert.ok(transfers.bytesReceived > KEYS * 1024)
  assert.equal(transfers.list(), [])
  // Not a copy that counts before it is made, and was compared.
  assert.is(member.replicas.status(RANGE), 'none')
  await mustEqual(source, member, RANGE)
  assert.is(member.replicas.status(RANGE), 'syncing')
  const [key] = keysIn(RANGE, 1)
  assert.equal(await valuesOf(member, key!), [text(key!)])
})

test('what is written while the files travel comes too', async () => {
  const it = await world()
  const more = keysIn(RANGE, KEYS + 50).slice(KEYS)
  let written = false
  it.between = async message => {
    if (message.type === 'bytes' && message.offset > 0 && !written) {
      written = true
      await Promise.all(more.map(key => put(it.source, key, text(key))))
    }
    return message
  }
  await it.fill(RANGE)
  assert.ok(written)
  await mustEqual(it.source, it.member, RANGE)
  assert.equal(await valuesOf(it.member, more[0]!), [text(more[0]!)])
})

test('a transfer that is cut goes on where it ended', async () => {
  const it = await world()
  let pieces = 0
  let again = 0
  it.between = async message => {
    if (message.type !== 'bytes') return message
    if (it.sessions > 1) again += message.bytes.length
    return ++pieces === 3 ? undefined : message
  }
  await it.fill(RANGE)
  assert.not.ok(it.fills.isOver(RANGE))
  assert.is(partsIn(it.member).length, 1)
  await it.fill(RANGE)
  assert.ok(it.fills.isOver(RANGE))
  assert.is(it.sessions, 2)
  // Two pieces had come, but for the record at their end.
  const { fileBytes } = it.source.store.stats(RANGE)
  assert.ok(again < fileBytes - 2 * 256 * 1024 + 4096, `${again} of ${fileBytes} bytes came again`)
  await mustEqual(it.source, it.member, RANGE)
  assert.is(it.transfers.bytesReceived, 2 * 256 * 1024 + again)
})

test('a source that never sends anything new is given up, whatever it had sent before', async () => {
  const it = await world()
  it.between = async message => (message.type === 'bytes' && message.offset > 0 ? undefined : message)
  await it.fill(RANGE)
  it.between = async message => (message.type === 'bytes' ? undefined : message)
  for (let tries = 1; tries <= 3; tries++) {
    assert.not.ok(it.fills.isOver(RANGE))
    await it.fill(RANGE)
  }
  assert.ok(it.fills.isOver(RANGE))
})

test('bytes that do not check are asked for again, and given up for the comparison when they never do', async () => {
  const it = await world({ keys: 20 })
  it.between = async message => {
    if (message.type === 'bytes') message.bytes[message.bytes.length - 10]! ^= 1
    return message
  }
  it.fills.want(RANGE, 'source')
  for (let tries = 1; tries <= 3; tries++) {
    assert.not.ok(it.fills.isOver(RANGE))
    await it.fill(RANGE)
  }
  assert.ok(it.fills.isOver(RANGE))
  assert.is(it.member.store.state(RANGE), 'absent')
  // What was received is kept for a while, for whoever comes back.
  assert.is(partsIn(it.member).length, 1)
  it.nowMs += LEASE_MS
  it.fills.tick()
  await until('the part is removed', () => partsIn(it.member).length === 0)
})

test('files that cannot be made a copy of, whenever that turns out, are given up for the comparison', async () => {
  const it = await world({ keys: 20 })
  const { copyFiles } = it.member
  const adopt = copyFiles.adopt.bind(copyFiles)
  let refused = 0
  copyFiles.adopt = async (range, receiver, files) => {
    if (range !== RANGE) return adopt(range, receiver, files)
    refused++
    throw new CoterieError('damaged', 'not the whole of a log')
  }
  // The other range is still on its way when it turns out.
  it.between = async message => {
    if (message.type === 'bytes' && message.range === OTHER) await until('refused', () => refused > 0)
    return message
  }
  await it.fill(RANGE, OTHER)
  for (let tries = 2; tries <= 3; tries++) {
    assert.not.ok(it.fills.isOver(RANGE))
    await it.fill(RANGE)
  }
  assert.ok(it.fills.isOver(RANGE))
  assert.is(refused, 3)
  assert.is(it.member.store.state(RANGE), 'absent')
})

test('what nobody wants any more does not become a copy, nor what is a copy by now', async () => {
  const it = await world({ keys: 20 })
  it.between = async message => {
    if (message.type === 'bytes' && message.range === RANGE) it.fills.forget(RANGE)
    if (message.type === 'bytes' && message.range === OTHER) {
      it.fills.forget(OTHER)
      await it.member.replicas.create([OTHER])
      await put(it.member, keysIn(OTHER, 1)[0]!, 'own')
    }
    return message
  }
  await it.fill(RANGE, OTHER)
  assert.is(it.member.store.state(RANGE), 'absent')
  assert.equal(await valuesOf(it.member, keysIn(OTHER, 1)[0]!), ['own'])
  it.nowMs += LEASE_MS
  it.fills.tick()
  await until('the parts are removed', () => partsIn(it.member).length === 0)
})

test('a copy that is not synced is not given, nor one of which most is dead', async () => {
  const it = await world({ keys: 20 })
  await it.source.copies.set([RANGE], 'syncing')
  for (let i = 0; i < 3; i++)
    for (const key of keysIn(OTHER, 20)) await put(it.source, key, text(key), (await contextOf(it.source, key))!)
  assert.ok(it.source.store.stats(OTHER).liveBytes > LEAST_FILE_BYTES)
  await it.fill(RANGE, OTHER)
  for (const range of [RANGE, OTHER]) {
    assert.ok(it.fills.isOver(range))
    assert.is(it.member.store.state(range), 'absent')
  }
})

test('parts that an earlier process has left go, if nobody comes back for them', async () => {
  const it = await world()
  it.between = async message => (message.type === 'bytes' && message.offset > 0 ? undefined : message)
  await it.fill(RANGE)
  assert.is(partsIn(it.member).length, 1)
  it.fills.reopened([RANGE])
  it.nowMs += LEASE_MS / 2
  it.fills.tick()
  it.nowMs += LEASE_MS / 2
  it.fills.forget(RANGE)
  it.nowMs += LEASE_MS
  it.fills.tick()
  await until('the part is removed', () => partsIn(it.member).length === 0)
})

async function contextOf({ replicas }: MemoryReplica, key: string) {
  const bytes = new TextEncoder().encode(key)
  return (await replicas.read(replicas.rangeOf(bytes), bytes))?.context
}

test.run()
