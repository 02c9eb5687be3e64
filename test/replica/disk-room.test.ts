import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskRoom } from '../../src/replica/disk-room.ts'
import { silentLog } from '../../src/runtime.ts'
import { ManualTime } from '../storage/helpers.ts'

const test = suite('disk room')

function room() {
  const clock = new ManualTime()
  const said: string[] = []
  const say = (level: string) => (message: string) => void said.push(`${level} ${message.slice(0, 13)}`)
  return { clock, said, room: new DiskRoom({ clock, log: { ...silentLog, warn: say('warn'), info: say('info') } }) }
}

test('a full disk is said once, and that it has room again', async () => {
  const { clock, said, room: disk } = room()
  disk.found()
  assert.is(disk.isFull, false)
  for (let i = 0; i < 5; i++) disk.refused(new Error('no room'))
  assert.is(disk.isFull, true)
  assert.equal(said, ['warn the disk is f'])
  await clock.advance(10_000)
  disk.found()
  disk.found()
  assert.is(disk.isFull, false)
  assert.equal(said, ['warn the disk is f', 'info the disk take'])
  disk.refused(new Error('no room'))
  assert.is(said.length, 3)
})

test('a disk at its limit, which takes one and refuses the next, is told of once in ten minutes', async () => {
  const { clock, said, room: disk } = room()
  for (let second = 0; second < 601; second++) {
    disk.found()
    assert.is(disk.isFull, false)
    disk.refused(new Error('no room'))
    await clock.advance(1000)
  }
  assert.equal(said, ['warn the disk is f', 'warn the disk is f'])
})

test.run()
