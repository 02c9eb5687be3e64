/** The data directory as the service keeps it: `node.json` and the lock, from ready to stop. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createDirectory, readNodeFile } from '../src/directory.ts'
import { createNode } from '../src/node.ts'
import { createIdentity } from '../src/wire/identity.ts'

const test = suite('service')
const root = mkdtempSync(join(tmpdir(), 'coterie-service-'))
test.after(() => rmSync(root, { recursive: true, force: true }))

const clusterId = 'ab'.repeat(16)
const OPTIONS = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }

async function founder(name: string): Promise<string> {
  const dir = join(root, name)
  const { bytes } = await createIdentity()
  const cluster = { clusterId, name: 'test', q: 8, n: 3, r: 2, w: 2 }
  await createDirectory(dir, {
    identity: bytes,
    secret: { clusterId, secret: new Uint8Array(32) },
    config: { cluster, founder: true }
  })
  return dir
}

test('node.json from ready to close, for an embedded node too; the directory is locked meanwhile', async () => {
  const dir = await founder('one')
  const node = await createNode({ dir, ...OPTIONS })
  try {
    await node.ready()
    const file = await readNodeFile(dir)
    assert.equal(file, { peerId: node.peerId, addresses: node.addresses(), http: null, pid: process.pid })
    assert.match(file!.addresses[0], new RegExp(`^/ip4/127.0.0.1/tcp/\\d+/p2p/${node.peerId}$`))
    const second = await createNode({ dir, ...OPTIONS }).then(
      () => undefined,
      error => error
    )
    assert.is(second?.code, 'directory-in-use')
    assert.equal(await readNodeFile(dir), file, 'the second one changed nothing')
  } finally {
    await node.close()
  }
  assert.is(await readNodeFile(dir), undefined)
  const again = await createNode({ dir, ...OPTIONS })
  await again.ready()
  await again.close()
})

test('a node without a cluster says what is missing', async () => {
  const error = await createNode({ dir: join(root, 'none'), ...OPTIONS }).then(
    () => undefined,
    error => error
  )
  assert.is(error?.code, 'bad-config')
  assert.match(error?.message, /belongs to no cluster/)
})

test.run()
