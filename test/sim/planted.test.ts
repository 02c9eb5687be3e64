/** Planting itself, and that every bug has a run that catches it. The runs are in `planted/*.test.ts`. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BUGS } from './planted/bugs.ts'
import { readCatches } from './planted/catches.ts'
import { buggySource, bugNamed, plant, ROOT, withBug } from './planted/planting.ts'

const test = suite('sim: planted bugs')

test('every bug has its place in the source, once, and the source with it still compiles', () => {
  assert.is(new Set(BUGS.map(({ name }) => name)).size, BUGS.length)
  for (const bug of BUGS) {
    const source = readFileSync(join(ROOT, bug.file), 'utf8')
    const changed = buggySource(bug)
    assert.is.not(changed, source, bug.name)
    try {
      stripTypeScriptTypes(changed)
    } catch (error) {
      assert.unreachable(`${bug.name}: ${String(error)}`)
    }
  }
})

test('a bug whose line is not there, or there twice, is not planted in silence', () => {
  const bug = { ...BUGS[0]!, name: 'some-bug', find: 'a > b', replace: 'a >= b' }
  assert.is(withBug(bug, 'return a > b'), 'return a >= b')
  assert.throws(() => withBug(bug, 'return a < b'), /some-bug.*0 times/)
  assert.throws(() => withBug(bug, 'a > b || a > b'), /some-bug.*2 times/)
  assert.throws(() => bugNamed('no-such-bug'), /no-such-bug/)
  // This process has loaded nothing of it, and does not now.
  assert.throws(() => plant('epoch-compared-backwards').mustBeLoaded(), /src\/topology\.ts/)
})

test('a planted bug is in the code that a process runs, and in no other process', () => {
  const url = (path: string) => JSON.stringify(pathToFileURL(join(ROOT, path)).href)
  const code = (bug: string) => `
    const { plant } = await import(${url('test/sim/planted/planting.ts')})
    const planted = ${bug === '' ? 'undefined' : `plant('${bug}')`}
    const { WriteQuorum } = await import(${url('src/coordinator/quorum.ts')})
    planted?.mustBeLoaded()
    console.log(new WriteQuorum(2, ['a', 'b', 'c']).ack('a'))`
  const verdict = (bug: string) => {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code(bug)], {
      encoding: 'utf8'
    })
    return `${stdout}${stderr}`.trim()
  }
  assert.is(verdict(''), 'waiting')
  assert.is(verdict('write-quorum-off-by-one'), 'stored')
})

test('every bug has a seed that catches it, but those whose seed has been lost', () => {
  const wanted = BUGS.filter(({ isLost }) => !isLost).map(({ name }) => name)
  const caught = readCatches()
  const free = wanted.filter(name => !(name in caught))
  assert.equal(free, [], 'not caught yet; run `npm run planted`')
})

test.run()
