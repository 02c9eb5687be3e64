/** `WholeFile`: changes share a write, and a failed one is made up for. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { WholeFile } from '../src/whole-file.ts'
import { FakeFiles } from './support/fake-files.ts'

const test = suite('whole-file')
const text = (files: FakeFiles) => new TextDecoder().decode(files.peek('d/f'))

async function setup() {
  const files = new FakeFiles()
  await files.makeDir('d')
  const state = { content: 'one' }
  return { files, state, file: new WholeFile(files, 'd/f', () => new TextEncoder().encode(state.content)) }
}

test('changes made during a write share the next one', async () => {
  const { files, state, file } = await setup()
  const release = files.hold('replaceFile')
  const first = file.write()
  state.content = 'two'
  const [second, third] = [file.write(), file.write()]
  release()
  await Promise.all([first, second, third])
  assert.is(text(files), 'two')
  assert.ok(files.counts.replaceFile! <= 2)
})

test('a write that failed for want of room is done again by whoever asks whether all is on disk', async () => {
  const { files, file } = await setup()
  files.fail('replaceFile', 'ENOSPC')
  const codes = await Promise.allSettled([file.write()])
  assert.is(codes[0]!.status, 'rejected')
  await file.written()
  assert.is(text(files), 'one')
  const writes = files.counts.replaceFile
  await file.written()
  assert.is(files.counts.replaceFile, writes, 'and only once')
})

test('two who ask while it is behind share one write', async () => {
  const { files, file } = await setup()
  files.fail('replaceFile', 'EIO')
  await file.write().catch(() => undefined)
  await Promise.all([file.written(), file.written()])
  assert.is(files.counts.replaceFile, 2)
})

test.run()
