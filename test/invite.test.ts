import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isCoterieError } from '../src/errors.ts'
import { decodeInvite, encodeInvite, formatSecret, type Invite, parseSecret } from '../src/invite.ts'

const test = suite('invite')

const clusterId = '00112233445566778899aabbccddeeff'
const secret = Uint8Array.from({ length: 32 }, (_, i) => i * 7)
const peer = '/p2p/12D3KooWQcQwXgPGFfnJ1tFmEs7QmXoYzVuE7mGq7r7bqEYV8oPp'
const full: Invite = {
  clusterId,
  name: 'Grüße',
  secret,
  addresses: [`/ip4/10.0.0.1/tcp/4270${peer}`, `/ip4/127.0.0.1/tcp/4270${peer}`]
}

function refusal(text: string): string {
  try {
    decodeInvite(text)
  } catch (error) {
    assert.ok(isCoterieError(error, 'bad-usage'), String(error))
    return (error as Error).message
  }
  return ''
}

const hex = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('hex'))
const invites: fc.Arbitrary<Invite> = fc.record(
  {
    clusterId: hex,
    name: fc.string({ unit: 'binary', maxLength: 60 }).filter(name => Buffer.from(name).toString() === name),
    secret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    addresses: fc.array(fc.stringMatching(/^\/dns4\/[a-z]{1,20}\/tcp\/\d{1,4}(\/p2p\/[A-Za-z1-9]{1,60})?$/), {
      maxLength: 16
    })
  },
  { noNullPrototype: true }
)

test('what goes in comes out', () => {
  assert.equal(decodeInvite(encodeInvite(full)), full)
  const open = { clusterId, name: '', addresses: [] }
  assert.equal(decodeInvite(encodeInvite(open)), open)
  fc.assert(fc.property(invites, invite => assert.equal(decodeInvite(encodeInvite(invite)), invite)))
})

test('line breaks and spaces of a mail program do not matter', () => {
  const text = encodeInvite(full)
  assert.equal(decodeInvite(`  ${text.slice(0, 40)}\r\n ${text.slice(40)}\n`), full)
})

test('the peer id shared by all addresses is carried once', () => {
  assert.ok(encodeInvite(full).length < 300, `${encodeInvite(full).length} characters`)
})

test('cut short at any place: said so', () => {
  const text = encodeInvite(full)
  for (let length = 'coterie1'.length; length < text.length; length++) {
    const message = refusal(text.slice(0, length))
    assert.match(message, 'cut short', `at ${length}`)
  }
})

test('any changed character is refused', () => {
  const text = encodeInvite(full)
  for (let at = 0; at < text.length - 1; at++) {
    const other = text[at] === 'A' ? 'B' : 'A'
    assert.ok(refusal(text.slice(0, at) + other + text.slice(at + 1)), `at ${at}`)
  }
  const middle = text.length >> 1
  assert.match(refusal(text.slice(0, middle) + (text[middle] === 'A' ? 'B' : 'A') + text.slice(middle + 1)), 'checksum')
})

test('not an invite, a newer one, extra characters, a foreign character', () => {
  assert.match(refusal('hello'), 'does not start with coterie1')
  assert.match(refusal('coterie2abc'), 'newer')
  assert.match(refusal(`${encodeInvite(full)}AAAA`), 'extra characters')
  assert.match(refusal(`${encodeInvite(full)}!`), 'character "!"')
  assert.match(refusal('coterie1'), 'cut short')
})

test('a garbled message never throws anything else', () => {
  fc.assert(
    fc.property(fc.string(), text => {
      assert.ok(refusal(`coterie1${text}`))
    })
  )
})

test('secret lines', () => {
  const line = formatSecret({ clusterId, secret })
  assert.match(line, /^coterie-secret-1:[0-9a-f]{32}:[\w-]{43}$/)
  assert.equal(parseSecret(`${line}\n`), { clusterId, secret })
  const open = formatSecret({ clusterId })
  assert.is(open, `coterie-secret-1:${clusterId}:open`)
  assert.equal(parseSecret(open), { clusterId })
})

test('a wrong secret line is refused without being repeated', () => {
  const line = formatSecret({ clusterId, secret })
  for (const bad of [
    '',
    'x',
    line.slice(0, -1),
    `${line}AA`,
    line.replace('coterie', 'other'),
    `${line}:x`,
    line.replace(clusterId, 'abc')
  ]) {
    try {
      parseSecret(bad, 'D/secret')
      assert.unreachable(bad)
    } catch (error) {
      assert.ok(isCoterieError(error, 'bad-config'), bad)
      assert.match((error as Error).message, 'D/secret')
      assert.not.match((error as Error).message, line.slice(-40, -2))
    }
  }
})

test('parts that no invite can carry are refused when it is made', () => {
  assert.throws(() => encodeInvite({ ...full, clusterId: 'xyz' }), /32 hex digits/)
  assert.throws(() => encodeInvite({ ...full, secret: new Uint8Array(5) }), /32 bytes/)
})

test.run()
