/** The first README command, as a script: three processes, a REPL, siblings and their merge (issue 2). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { coterie } from '../support/processes.ts'

const test = suite('demo')

test('three processes, put, get, two concurrent puts, update', async () => {
  const script = [
    'put cart apple',
    'get cart',
    'put --blind cart pear',
    'get cart',
    'update cart --join ,',
    'get cart',
    'members',
    'ring',
    'where cart'
  ].join('\n')
  const { code, stdout, stderr } = await coterie(['demo'], { input: `${script}\n`, timeoutMs: 60_000 })
  assert.is(code, 0, stderr)
  assert.match(stdout, /new key/)
  assert.match(stdout, /second sibling/)
  assert.match(stdout, /2 siblings/)
  assert.match(stdout, /merged two values/)
  assert.match(stdout, /apple,pear|pear,apple/)
  assert.is(stdout.match(/ up +alive/g)?.length, 3, 'three members are up')
  assert.is(stdout.match(/alive +synced/g)?.length, 3, 'three synced replicas')
})

test.run()
