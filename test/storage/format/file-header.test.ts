import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeFileHeader, encodeFileHeader, fileName, parseFileName } from '../../../src/storage/format/file-header.ts'

const test = suite('file header and name')

test('round trip, every flipped bit, a header cut short', () => {
  const header = {
    range: 7,
    q: 256,
    generation: 3,
    fileId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    continues: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1)
  }
  const bytes = encodeFileHeader(header)
  assert.equal(decodeFileHeader(bytes), { ...header, version: 1 })
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.type(decodeFileHeader(flipped), 'string', `bit ${bit}`)
  }
  assert.match(String(decodeFileHeader(bytes.subarray(0, 47))), '47 bytes')
})

test('names of logs, hints and transfers, whole, set aside and unfinished', () => {
  assert.is(fileName(123, 1), '0123-0000000001.log')
  assert.is(fileName(4095, 7, 'hint'), '4095-0000000007.hint')
  const parsed = (kind: string, state: string) => ({ range: 123, generation: 1, kind, state })
  assert.equal(parseFileName('0123-0000000001.log'), parsed('log', 'whole'))
  assert.equal(parseFileName('0123-0000000001.log.damaged.2'), parsed('log', 'damaged'))
  assert.equal(parseFileName('0123-0000000001.hint.tmp'), parsed('hint', 'temporary'))
  assert.equal(parseFileName('0123-0000000001.part'), parsed('part', 'whole'))
  for (const other of ['x', '123-0000000001.log', '0123-1.log', '0123-0000000001.log.bak', '../0123-0000000001.log'])
    assert.is(parseFileName(other), undefined, other)
})

test.run()
