import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../src/runtime.ts'
import { Zones } from '../src/zones.ts'
import { FakeFiles } from './support/fake-files.ts'
import { until } from './support/until.ts'

const test = suite('zones')

test('what was heard is there after a restart; what is heard now goes before it', async () => {
  const files = new FakeFiles()
  await files.makeDir('d')
  const zones = new Zones({ files, log: silentLog }, { dir: 'd' })
  assert.ok(zones.learn('a', 'east'))
  assert.ok(zones.learn('b', 'west'))
  assert.not(zones.learn('b', 'west'))
  assert.not(zones.learn('c', ''))
  assert.ok(zones.learn('a', ''))
  const text = () => new TextDecoder().decode(files.peek('d/zones.json'))
  await until('the file to be written', () => text() === '{"zones":{"b":"west"}}\n')
  files.powerCut()
  const again = new Zones({ files, log: silentLog }, { dir: 'd' })
  again.learn('d', 'north')
  await again.open()
  assert.equal(
    ['a', 'b', 'c', 'd'].map(peer => again.of(peer)),
    ['', 'west', '', 'north']
  )
})

test('a file that cannot be read says nothing', async () => {
  for (const text of ['', 'null', '{"zones":7}', '{"zones":{"a":7}}']) {
    const files = new FakeFiles()
    files.set('d/zones.json', new TextEncoder().encode(text))
    const zones = new Zones({ files, log: silentLog }, { dir: 'd' })
    await zones.open()
    assert.is(zones.of('a'), '')
    assert.ok(zones.learn('a', 'east'))
  }
})

test.run()
