import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { inspectFile } from '../../src/storage/inspect.ts'
import { formatInspection } from '../../src/storage/inspection-text.ts'
import { FakeFiles } from '../support/fake-files.ts'
import { bytesOf, codeOfRejection, FILE, filledStore, keyAt, RANGE } from './helpers.ts'

const test = suite('inspect')

test('counts live and dead bytes, damages and the torn tail, and changes nothing', async () => {
  const files = new FakeFiles()
  const { store, keys } = await filledStore(files, 4)
  await store.put(RANGE, keys[1]!, bytesOf('changed'), 7)
  await store.put(RANGE, { ...keyAt('x', 9), bytes: Uint8Array.of(0xff, 0) }, bytesOf('v'), 8)
  await store.put(RANGE, keyAt('\x1b[2J\x9b', 10), bytesOf('v'), 9)
  await store.close()
  const whole = await inspectFile(files, FILE, { keys: true })
  assert.equal(JSON.parse(JSON.stringify(whole)), whole)
  assert.is(whole.records, 7)
  assert.is(whole.keys, 6)
  assert.is(whole.deadBytes, 56)
  assert.is(whole.liveBytes + whole.deadBytes + 48, whole.fileBytes)
  assert.equal(
    whole.keyList!.map(key => key.text ?? key.base64),
    ['key-0', 'key-1', 'key-2', 'key-3', '/wA=', '\x1b[2J\x9b']
  )
  files.poke(FILE, 48 + 44, [0])
  files.poke(FILE, files.peek(FILE).length, [1, 2, 3])
  const bytes = files.peek(FILE)
  const broken = await inspectFile(files, FILE)
  assert.is(broken.keyList, undefined)
  assert.equal(
    broken.damages.map(({ offset, length }) => [offset, length]),
    [[48, 56]]
  )
  assert.is(broken.tornBytes, 3)
  assert.is(broken.deadBytes, 56)
  assert.is(Buffer.compare(files.peek(FILE), bytes), 0)
  const text = formatInspection({ ...broken, keyList: whole.keyList })
  assert.match(text, 'range       3 of 8, generation 1')
  assert.match(text, 'at 48, 56 bytes')
  assert.match(text, 'base64:/wA=')
  assert.match(text, '"\\u001b[2J\\u009b"')
  assert.not([...text].some(char => char !== '\n' && (char < ' ' || (char >= '\x7f' && char < '\xa0'))))
})

test('a file that is no range log, and none at all', async () => {
  const files = new FakeFiles()
  files.set('d/f', bytesOf('hello'))
  const inspection = await inspectFile(files, 'd/f')
  assert.match(inspection.problem!, '5 bytes')
  assert.match(formatInspection(inspection), 'not a range log')
  assert.is(await codeOfRejection(inspectFile(files, 'd/none')), 'ENOENT')
})

test.run()
