import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Background } from '../src/background.ts'
import { lineLog, systemTimers } from '../src/runtime.ts'

const test = suite('background')

function make(): { background: Background; lines: string[] } {
  const lines: string[] = []
  return {
    background: new Background({ log: lineLog('debug', line => lines.push(line)), timers: systemTimers }),
    lines
  }
}

test('failures are logged with their name and harm nobody', async () => {
  const { background, lines } = make()
  background.run('mending', Promise.reject(new Error('no disk')))
  background.run('other work', Promise.resolve())
  await background.stop(1000)
  assert.is(lines.length, 1)
  assert.match(lines[0], /mending failed.*no disk/)
})

test('stop waits for what runs, and for what that starts', async () => {
  const { background } = make()
  const { promise, resolve } = Promise.withResolvers<void>()
  let done = 0
  background.run(
    'first',
    promise.then(() => {
      background.run(
        'second',
        new Promise<void>(then => setImmediate(then)).then(() => {
          done = 2
        })
      )
    })
  )
  const stopped = background.stop(10_000)
  assert.ok(background.signal.aborted)
  resolve()
  await stopped
  assert.is(done, 2)
})

test('what does not end is cut off at the limit', async () => {
  const { background } = make()
  background.run('for ever', new Promise(() => {}))
  // The timers of src keep no process alive; something of ours has to.
  const alive = setInterval(() => {}, 1000)
  await background.stop(20)
  clearInterval(alive)
})

test.run()
