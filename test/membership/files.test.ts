import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AddressBook, MAX_ADDRESSES_PER_PEER, MAX_BOOK_PEERS } from '../../src/membership/address-book.ts'
import { raiseIncarnation } from '../../src/membership/incarnation.ts'
import { silentLog } from '../../src/runtime.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { ManualTime } from './harness.ts'

const encode = (text: string) => new TextEncoder().encode(text)
const text = (bytes?: Uint8Array) => new TextDecoder().decode(bytes)

async function filesWith(content: Record<string, string> = {}): Promise<FakeFiles> {
  const files = new FakeFiles()
  await files.makeDir('dir')
  for (const [name, value] of Object.entries(content)) await files.replaceFile(`dir/${name}`, encode(value))
  return files
}

function warningLog() {
  const warnings: string[] = []
  return { warnings, log: { ...silentLog, warn: (message: string) => warnings.push(message) } }
}

const test = suite('membership: files')

test('the incarnation goes up by one with every start and survives a power cut', async () => {
  const files = await filesWith()
  assert.is(await raiseIncarnation(files, 'dir'), 1)
  assert.is(await raiseIncarnation(files, 'dir'), 2)
  files.powerCut()
  assert.is(await raiseIncarnation(files, 'dir'), 3)
  assert.is(await raiseIncarnation(files, 'dir', { atLeast: 10 }), 10)
  assert.is(await raiseIncarnation(files, 'dir', { atLeast: 4 }), 11)
})

test('a damaged incarnation file is said and counts as none; one that cannot be written stops the start', async () => {
  for (const damaged of ['', '{', 'null', '{"incarnation":-1}', '{"incarnation":"7"}']) {
    const { warnings, log } = warningLog()
    assert.is(await raiseIncarnation(await filesWith({ 'incarnation.json': damaged }), 'dir', { log }), 1)
    assert.is(warnings.length, damaged === '' ? warnings.length : 1)
  }
  const files = await filesWith()
  files.fail('replaceFile', 'ENOSPC')
  await raiseIncarnation(files, 'dir').then(
    () => assert.unreachable(),
    error => assert.is(error.code, 'ENOSPC')
  )
})

async function bookOf(files: FakeFiles) {
  const time = new ManualTime()
  const { warnings, log } = warningLog()
  const book = new AddressBook({ files, timers: time, log }, 'dir')
  await book.load()
  return { book, time, warnings }
}

test('addresses are written in one go, and there after a restart', async () => {
  const files = await filesWith()
  const { book, time } = await bookOf(files)
  book.learn('a', ['/ip4/1.1.1.1/tcp/1'])
  book.learn('a', ['/ip4/2.2.2.2/tcp/2'])
  book.learn('__proto__', ['/ip4/3.3.3.3/tcp/3'])
  assert.is(await files.readFile('dir/peers.json'), undefined)
  time.advance(2000)
  await book.flush()
  const { book: again } = await bookOf(files)
  assert.equal(again.addressesOf('a'), ['/ip4/2.2.2.2/tcp/2', '/ip4/1.1.1.1/tcp/1'])
  assert.equal(again.peers(), ['a', '__proto__'])
  again.forget('a')
  await again.flush()
  assert.equal((await bookOf(files)).book.addressesOf('a'), [])
})

test('the book is bounded per peer and in all; the oldest go', async () => {
  const { book } = await bookOf(await filesWith())
  for (let i = 0; i < 50; i++) book.learn('a', [`/ip4/1.1.1.1/tcp/${i}`])
  assert.is(book.addressesOf('a').length, MAX_ADDRESSES_PER_PEER)
  assert.is(book.addressesOf('a')[0], '/ip4/1.1.1.1/tcp/49')
  for (let i = 0; i <= MAX_BOOK_PEERS; i++) book.learn(`p${i}`, ['/ip4/1.1.1.1/tcp/1'])
  assert.is(book.peers().length, MAX_BOOK_PEERS)
  assert.equal(book.addressesOf('a'), [])
  book.learn('long', ['x'.repeat(1000), ''])
  assert.equal(book.addressesOf('long'), [])
})

test('a damaged book is put aside with a warning and starts empty', async () => {
  for (const damaged of ['{"peers":[["a",', 'null', '{"peers":[["a",5]]}', '{}', '\xff']) {
    const files = await filesWith({ 'peers.json': damaged })
    const { book, warnings } = await bookOf(files)
    assert.is(warnings.length, 1, damaged)
    assert.equal(book.peers(), [])
    assert.is(text(await files.readFile('dir/peers.json.damaged')), text(encode(damaged)))
    assert.is(await files.readFile('dir/peers.json'), undefined)
  }
})

test('a write that fails is said, keeps the book in memory and is made up for', async () => {
  const files = await filesWith()
  const { book, warnings } = await bookOf(files)
  files.fail('replaceFile', 'ENOSPC')
  book.learn('a', ['/ip4/1.1.1.1/tcp/1'])
  await book.flush()
  assert.is(warnings.length, 1)
  await book.flush()
  assert.equal((await bookOf(files)).book.peers(), ['a'])
})

test.run()
