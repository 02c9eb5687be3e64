import { createServer } from 'node:net'
import { createLibp2p } from 'libp2p'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CoterieError } from '../../src/errors.ts'
import { explainListenError, hostConfig } from '../../src/wire/host.ts'
import { createIdentity } from '../../src/wire/identity.ts'
import { failure, LOOPBACK, PARAMS, startNode, stopAll } from './hosts.ts'

const test = suite('wire/host')
test.after.each(stopAll)

test('a taken port surfaces as `address-in-use`, naming it', async () => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const listen = [LOOPBACK, `/ip4/127.0.0.1/tcp/${port}`]
  const { privateKey } = await createIdentity()
  try {
    const error = await failure(createLibp2p(hostConfig({ privateKey, listen, clusterId: PARAMS.clusterId })))
    const explained = explainListenError(error, listen) as CoterieError
    assert.instance(explained, CoterieError)
    assert.is(explained.code, 'address-in-use')
    assert.match(explained.message, `/tcp/${port} `)
  } finally {
    server.close()
  }
  const other = new Error('something else')
  assert.is(explainListenError(other, listen), other)
})

test('an address that this machine does not have is `bad-usage`', async () => {
  const listen = ['/ip4/192.0.2.77/tcp/0']
  const { privateKey } = await createIdentity()
  const error = await failure(createLibp2p(hostConfig({ privateKey, listen, clusterId: PARAMS.clusterId })))
  const explained = explainListenError(error, listen) as CoterieError
  assert.is(explained.code, 'bad-usage')
  assert.match(explained.message, '192.0.2.77')
})

test('identify is the cluster’s own, a client listens nowhere', async () => {
  const node = await startNode()
  assert.ok(node.libp2p.getProtocols().some(protocol => protocol.startsWith('/coterie-0123456789abcdef/id/')))
  const client = await startNode({ role: 'client' })
  assert.equal(client.libp2p.getMultiaddrs(), [])
  assert.equal(
    client.libp2p.getProtocols().filter(protocol => protocol.startsWith('/coterie/')),
    []
  )
})

test.run()
