import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberInfo, RingInfo } from '../../../src/cli/parts.ts'
import type { PlanInfo } from '../../../src/cli/plan.ts'
import { memberLines, ringLines, statLines, whereLines } from '../../../src/cli/render/cluster.ts'
import { deleteOutcome, putOutcome } from '../../../src/cli/render/outcome.ts'
import { planLines } from '../../../src/cli/render/plan.ts'
import { siblingLines } from '../../../src/cli/render/siblings.ts'
import { statusLines } from '../../../src/cli/render/status.ts'
import { makeStyle, plain, styleOf } from '../../../src/cli/render/style.ts'
import { table } from '../../../src/cli/render/table.ts'
import { byteCount, displayWidth, duration, fit, wrap } from '../../../src/cli/render/text.ts'
import { bar, progressLine, rangeCount, transferLines } from '../../../src/cli/render/transfers.ts'
import { statusLine } from '../../../src/cli/status-line.ts'
import { fakeIo, MEMBERS } from '../fakes.ts'

const test = suite('cli: render')

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const widest = (lines: string[]) => Math.max(...lines.map(displayWidth))

test('outcomes', () => {
  const put = (siblings: number, replaced: number) => putOutcome({ siblings, replaced })
  assert.is(put(1, 0), 'new key')
  assert.is(put(2, 0), 'made a second sibling')
  assert.is(put(3, 0), 'made a third sibling')
  assert.is(put(12, 0), 'made a 12th sibling')
  assert.is(put(1, 1), 'replaced one value')
  assert.is(put(1, 3), 'merged three values')
  assert.is(put(2, 1), 'replaced one value; one value written meanwhile stands beside it')
  assert.is(put(3, 12), 'merged 12 values; two values written meanwhile stand beside it')
  assert.is(deleteOutcome({ siblings: 0, replaced: 0 }), 'deleted nothing: there was no value')
  assert.is(deleteOutcome({ siblings: 0, replaced: 1 }), 'deleted one value')
  assert.is(deleteOutcome({ siblings: 2, replaced: 0 }), 'deleted nothing; two values written meanwhile stay')
})

test('widths: wide and combining characters, colours, cutting', () => {
  assert.is(displayWidth('日本🎉e\u0301'), 7)
  assert.is(displayWidth(makeStyle(true).red('abc')), 3)
  assert.is(fit('abcdef', 4), 'abc…')
  assert.is(fit('日本語', 4), '日…')
  assert.is(fit('abc', 3), 'abc')
  assert.equal(wrap('日本語', 4), ['日本', '語'])
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 2, max: 30 }), (text, width) => {
      assert.is(wrap(text, width).join(''), text)
      assert.ok(displayWidth(fit(text, width)) <= width)
    })
  )
})

test('numbers', () => {
  assert.equal([0, 1023, 1024, 1536 * 1024, 200 * 1024 ** 3].map(byteCount), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 MiB',
    '200 GiB'
  ])
  assert.equal([0.25, 42.4, 1500, 600_000, 10_000_000, 200_000_000].map(duration), [
    '0.3 ms',
    '42 ms',
    '1.5 s',
    '10 min',
    '3 h',
    '2 days'
  ])
})

test('a table shrinks its last columns first, and keeps the others', () => {
  const columns = [
    { title: 'n', align: 'right' as const },
    { title: 'a', shrinkTo: 3 },
    { title: 'b', shrinkTo: 3 }
  ]
  const rows = [
    ['1', 'abcdefghij', 'klmnopqrst'],
    ['22', 'x', { text: 'y', paint: (text: string) => `<${text}>` }]
  ]
  assert.equal(table(columns, rows, 20, plain), [' n  a           b', ' 1  abcdefghij  klm…', '22  x           <y>'])
  assert.equal(table(columns, rows, 5, plain)[1], ' 1  ab…  kl…')
  assert.equal(table(columns, [], 80, plain), ['n  a  b'])
})

test('siblings: side by side where they fit, a row each where not', () => {
  const sibling = (value: string, i: number) => ({ value: bytes(value), dot: `00000000000000aa:${i}` })
  const two = [sibling('red', 1), { ...sibling('x'.repeat(70), 2), expiresAt: 65_000 }]
  assert.equal(
    siblingLines(two, 80, 60_000, plain),
    [
      '00000000000000aa:1 │ 00000000000000aa:2',
      '                   │ expires in 5.0 s',
      '───────────────────┼───────────────────────────────────────',
      `red                │ ${'x'.repeat(38)}`,
      `                   │ ${'x'.repeat(32)}`
    ].map((line, i) => (i === 2 ? `${'─'.repeat(18)}─┼─${'─'.repeat(38)}` : line))
  )
  const many = siblingLines(
    Array.from({ length: 9 }, (_, i) => sibling(`value ${i}`, i)),
    60,
    0,
    plain
  )
  assert.is(many.length, 10)
  assert.match(many[9]!, /9 +00000000000000aa:8 +7 B +value 8/)
  const long = siblingLines([sibling('y'.repeat(5000), 1), sibling('z', 2)], 80, 0, plain)
  assert.match(long.at(-1)!, '… 4.9 KiB in all')
})

test('no picture is wider than asked, whatever the values', () => {
  const values = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 2, maxLength: 12 })
  fc.assert(
    fc.property(values, fc.integer({ min: 50, max: 200 }), (all, width) => {
      const siblings = all.map((value, i) => ({ value, dot: `00000000000000aa:${i}` }))
      assert.ok(widest(siblingLines(siblings, width, 0, plain)) <= width)
    })
  )
})

test('members', () => {
  const lines = memberLines(MEMBERS, 120, plain)
  assert.not.match(lines[0]!, 'work/s')
  const heat = { work: 1234, hot: [], cool: [] }
  assert.match(memberLines([{ ...MEMBERS[0]!, heat }], 120, plain).join('\n'), /work\/s[\s\S]* 1,?234 /)
  assert.is(lines.length, 5)
  assert.match(lines[2]!, /^B +…BBBBBBB2 +up +down +5 +1,200 +4.0 KiB +1.3 +- +\/ip4\/10.0.0.2\/tcp\/4270$/)
  assert.match(lines[4]!, '* the node asked')
  assert.ok(widest(memberLines(MEMBERS, 80, plain)) <= 80)
  const hostile = { ...MEMBERS[0]!, zone: 'a\x1b[2J', addresses: [] }
  assert.not.match(memberLines([hostile], 120, plain).join(''), '\x1b')
})

test('a plan: what it costs, who has what, from whom to whom, and every warning in words', () => {
  const node = { fate: 'stays' as const, up: true, zone: 'a\x1b[2J', capacity: 1, before: 30, after: 20, share: 21.25 }
  const plan: PlanInfo = {
    change: { join: [], leave: [], remove: [], capacity: [] },
    ranges: 64,
    copies: 3,
    moved: 20,
    copied: 61,
    bytes: 2048,
    least: { moved: 20, copied: 60, bytes: 2000 },
    moves: Array.from({ length: 14 }, (_, i) => ({ from: 'a', to: `n${i}`, ranges: i === 0 ? 1000 : 1 })),
    nodes: [
      { ...node, peerId: 'a' },
      { ...node, peerId: 'b', up: false, after: 22.25 + 3 }
    ],
    warnings: [
      { what: 'few-nodes', nodes: 1 },
      { what: 'fewer-zones', before: 3, after: 1 },
      { what: 'crowded', ranges: [7] },
      { what: 'thin', nodes: 9 },
      { what: 'off-share', peerIds: ['a', 'b'] },
      { what: 'stuck', ranges: Array.from({ length: 13 }, (_, i) => i) },
      { what: 'down', peerIds: ['b'] },
      { what: 'alive', peerIds: Array.from({ length: 13 }, (_, i) => `p${i}`) }
    ]
  }
  const lines = planLines(plan, 80, plain)
  assert.equal(lines.slice(0, 4), [
    '20 of 64 ranges would change owner',
    '61 copies would be made, about 2.0 KiB',
    'at least, for the same shares: 20 ranges, 60 copies, about 2.0 KiB',
    ''
  ])
  assert.match(lines[5]!, /^a +stays +30 +20 +21\.3 +1 +a\\x1b\[2J$/)
  assert.match(lines[6]!, /^b +down +30/)
  assert.match(lines[9]!, /^a +n0 +1,000$/)
  assert.is(lines.at(-10), 'and 2 ranges between 2 other pairs')
  assert.equal(lines.slice(-8), [
    'warning: 1 node that can be reached would be left, and every range is to have 3 copies',
    'warning: the copies of a range would be in 1 zone; now there are 3',
    'warning: 1 range (7) would be in fewer zones than there could be',
    'warning: 9 nodes are more than one for every 8 ranges: shares get uneven',
    'warning: a range or more from a fair share: a (-1.3), b (+4.0)',
    'warning: nobody could take 13 ranges (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …) from those that go',
    'warning: down, and left with what they have: b; --remove plans without them',
    'warning: up, and to be removed: p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11 and 1 more; with --leave they hand on what they hold first'
  ])
  const rest = { ...plan, moved: 0, copied: 0, moves: [], warnings: [] }
  assert.equal(planLines(rest, 80, plain)[0], 'nothing would move')
  assert.is(planLines(rest, 80, plain).length, 5)
})

test('the ring: a letter a range, counts, nobody, the dead', () => {
  const [a, b, c] = MEMBERS as [MemberInfo, MemberInfo, MemberInfo]
  const ring = (q: number, owner: (range: number) => MemberInfo | undefined): RingInfo => ({
    clusterId: 'x',
    q,
    n: 3,
    owners: Array.from({ length: q }, (_, range) => ({ range, owner: owner(range)?.peerId ?? '', epoch: 1 })).filter(
      one => one.owner
    )
  })
  const lines = ringLines(
    ring(16, range => (range < 8 ? a : range < 12 ? b : undefined)),
    [a, b, c],
    80,
    plain
  )
  assert.equal(lines, [
    ' 0 AAAAAAAABBBB····',
    '',
    `A ${'█'.repeat(20)}     8  50.0 %  …AAAAAAA1  the node asked`,
    `B ${'█'.repeat(10)}${' '.repeat(10)}     4  25.0 %  …BBBBBBB2  down`,
    `C ${' '.repeat(20)}     0   0.0 %  …CCCCCCC3`,
    '16 ranges, 3 copies each, 4 of nobody (·)'
  ])
  const wide = ringLines(
    ring(256, range => MEMBERS[range % 3]),
    [a, b, c],
    80,
    plain
  )
  assert.equal(
    wide.slice(0, 5).map(line => line.slice(0, 6)),
    ['  0 AB', ' 64 BC', '128 CA', '192 AB', '']
  )
  assert.is(
    ringLines(
      ring(256, () => a),
      [a],
      40,
      plain
    )[0]!.length,
    36
  )
  const colored = ringLines(
    ring(16, () => a),
    [a],
    80,
    makeStyle(true)
  )[0]!
  assert.match(colored, '\x1b[36mA\x1b[39m')
})

test('where a key lives: zones as soon as a replica has one', () => {
  const replicas = MEMBERS.map(({ peerId, zone, alive }) => ({ peerId, zone, alive, synced: alive }))
  const where = {
    key: 'k',
    keyBase64: 'aw==',
    position: '00ff00ff00ff00ff',
    range: 0,
    preference: MEMBERS.map(({ peerId }) => peerId),
    replicas
  }
  assert.equal(whereLines(where, plain), [
    'position 00ff00ff00ff00ff, range 0',
    'owner      12D3KooWPeerAAAAAAAAA1  -      alive  synced',
    'replica 2  12D3KooWPeerBBBBBBBBB2  -      down   not synced',
    'replica 3  12D3KooWPeerCCCCCCCCC3  north  alive  synced'
  ])
  const none = { ...where, replicas: replicas.map(replica => ({ ...replica, zone: '' })) }
  assert.is(whereLines(none, plain)[1], 'owner      12D3KooWPeerAAAAAAAAA1  alive  synced')
  const earlier = { ...where, replicas: replicas.map(({ zone: _, ...replica }) => replica) }
  assert.equal(whereLines(earlier, plain), whereLines(none, plain))
  const hostile = { ...where, replicas: [{ ...replicas[0]!, zone: 'a\x1b[2J' }] }
  assert.not.match(whereLines(hostile, plain).join(''), '\x1b')
})

test('statistics', () => {
  assert.equal(statLines({ keys: 1234567, fileBytes: 2048, deep: { a: true }, list: [] }, plain), [
    'keys       1,234,567',
    'fileBytes  2,048 (2.0 KiB)',
    'deep',
    '  a  true'
  ])
  assert.equal(statLines(null, plain), ['null'])
})

test('progress', () => {
  assert.is(bar(1, 2, 4), '██  ')
  assert.is(bar(1, 16, 4), '▎   ')
  assert.is(bar(9, 2, 4), '████')
  assert.is(bar(0, 0, 4), '    ')
  const transfers = [{ range: 7, from: MEMBERS[0]!.peerId, keysDone: 500, keysTotal: 2000 }]
  assert.is(
    progressLine(transfers, 60, plain),
    `filling 1 range [${'█'.repeat(5)}${' '.repeat(15)}]  25 % 500/2,000 keys`
  )
  assert.is(progressLine(transfers, 40, plain), 'filling 1 range   25 % 500/2,000 keys')
  const files = { ...transfers[0]!, range: 8, keysDone: 0, keysTotal: 0, bytesDone: 3 << 20, bytesTotal: 4 << 20 }
  assert.is(progressLine([files], 40, plain), 'filling 1 range   75 % 3.0 MiB/4.0 MiB')
  assert.is(progressLine([files, ...transfers], 60, plain), 'filling 2 ranges   50 % 3.0 MiB/4.0 MiB, 500/2,000 keys')
  // Two nodes send 85 ranges, some of them as files; a third is compared with for what the first sends.
  const several = [
    { ...files, range: 3, ranges: 43 },
    { ...transfers[0]!, range: 9, ranges: 42 },
    { ...transfers[0]!, range: 3, ranges: 40 }
  ]
  assert.is(rangeCount(several), 85)
  assert.match(progressLine(several, 60, plain), /^filling 85 ranges /)
  assert.match(transferLines(several, 80, plain)[0]!, /^range {4}3 and 42 more from …AAAAAAA1 \[█+ +\] +75 %/)
  assert.ok(widest(transferLines(several, 80, plain)) <= 80)
  assert.match(transferLines(transfers, 100, plain)[0]!, /^range {4}7 from …AAAAAAA1 \[█+ +\] +25 % 500\/2,000 keys$/)
})

test('colours only on a terminal that wants them', () => {
  assert.is(styleOf({ isTTY: true }, {}).color, true)
  assert.is(styleOf({ isTTY: true }, { NO_COLOR: '1' }).color, false)
  assert.is(styleOf({ isTTY: true }, { TERM: 'dumb' }).color, false)
  assert.is(styleOf({}, {}).color, false)
})

test('the status of the cluster: whole, or which ranges are short of how many copies', () => {
  const whole = { ranges: 16, copies: 3, whole: 16, short: [], crowded: [], silent: [] }
  assert.equal(statusLines(whole, plain), ['all 16 ranges have 3 synced copies'])
  const short = [...Array.from({ length: 14 }, (_, range) => ({ range, synced: 2 })), { range: 14, synced: 0 }]
  assert.equal(
    statusLines(
      { ...whole, whole: 1, short, crowded: [3], silent: ['12D3KooWJ7PKLxm5yRSXcd9NNHbU7QPjQAebG4UPgCKZqLqtVHCm'] },
      plain
    ),
    [
      '15 of 16 ranges have fewer than 3 synced copies',
      '  with 0: 14',
      '  with 2: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more',
      'not answering: …qLqtVHCm',
      'without a synced copy, not available until a node that has one is back; if none will be: coterie accept-loss 14',
      '1 range in fewer zones than there could be'
    ]
  )
})

test('the status line stays below what is printed, and only on a terminal', () => {
  const io = fakeIo({ tty: true })
  const live = statusLine(io.stdout)
  live.show('50 %')
  live.print('a line')
  live.show('')
  live.print('another')
  assert.is(io.out(), '\r\x1b[K50 %\r\x1b[Ka line\n50 %\r\x1b[Kanother\n')
  const pipe = fakeIo()
  const still = statusLine(pipe.stdout)
  still.show('50 %')
  still.print('a line')
  assert.is(pipe.out(), 'a line\n')
})

test.run()
