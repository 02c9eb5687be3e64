import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatSecret } from '../../src/invite.ts'
import { keepAlive } from '../../src/runtime.ts'
import { CLUSTER_ID, cli, FakeCluster, fakeIo, fakeParts, MEMBERS } from './fakes.ts'

const test = suite('cli: leave')
const LEAVER = MEMBERS[0]!.peerId
let dir = ''
let secretFile = ''

test.before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'coterie-leave-'))
  secretFile = join(dir, 'the-secret')
  await writeFile(secretFile, `${formatSecret({ clusterId: CLUSTER_ID, secret: new Uint8Array(32).fill(1) })}\n`)
})
test.after(() => rm(dir, { recursive: true, force: true }))

/** The leaver answers once and is gone; then another node says what it knows of it, each time the next of these. */
class Goodbye extends FakeCluster {
  readonly #said: { status: string; alive: boolean }[]
  #answered = false
  #asked = 0

  constructor(said: { status: string; alive: boolean }[]) {
    super()
    this.#said = said
  }

  override async info(what: string): Promise<unknown> {
    if (what === 'stats') {
      const leaving = { status: 'leaving', ranges: 0, copies: 0, hints: 0 }
      const answer = this.#answered ? {} : { leaving }
      this.#answered = true
      return answer
    }
    if (!this.#answered) return MEMBERS
    const said = this.#said[Math.min(this.#asked++, this.#said.length - 1)]!
    return MEMBERS.map(member => (member.peerId === LEAVER ? { ...member, ...said, self: false } : member))
  }
}

/** As `bin` does, whose timers alone keep no process running. */
async function leave(cluster: FakeCluster): ReturnType<typeof cli> {
  const end = keepAlive()
  const target = ['--connect', '/ip4/127.0.0.1/tcp/9', '--secret-file', secretFile]
  return cli(['leave', ...target], fakeIo(), fakeParts(cluster)).finally(end)
}

test('one that has left looks silent until the others hear its last word', async () => {
  const silent = { status: 'leaving', alive: false }
  const { code, out, err } = await leave(new Goodbye([silent, silent, { status: 'left', alive: false }]))
  assert.is(code, 0, err)
  assert.match(out, `${LEAVER} has left the cluster`)
})

test('one that stays silent has stopped before it had left', async () => {
  const { code, err } = await leave(new Goodbye([{ status: 'leaving', alive: false }]))
  assert.is(code, 4)
  assert.match(err, `${LEAVER} stopped before it had left`)
})

test.run()
