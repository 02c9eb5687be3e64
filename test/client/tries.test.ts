/** How a client goes from node to node for one answer, on virtual time. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { askInTurn } from '../../src/client/tries.ts'
import { CoterieError, type ErrorCode, isCoterieError } from '../../src/errors.ts'
import { HedgeBudget } from '../../src/hedge-budget.ts'
import type { Answer } from '../../src/messages.ts'
import { virtualTime } from '../support/virtual-time.ts'

const test = suite('tries')
const OK: Answer = { type: 'ok' }

/** What a node does when it is asked: answers, refuses with a code, or says nothing until it is given up; after so many milliseconds. */
type Behaviour = { afterMs?: number } & ({ answer: Answer } | { code: ErrorCode } | { silent: true })

interface Try {
  atMs: number
  peerId: string
  timeoutMs: number
}

/** Nodes by name, asked in the order of the table; the outcome, when it came, and every try. */
async function ask(
  nodes: Record<string, Behaviour>,
  options: { timeoutMs?: number; abortAtMs?: number; order?: () => string[]; hedges?: HedgeBudget } = {}
) {
  const { world, clock, timers } = virtualTime()
  const tries: Try[] = []
  const told: string[] = []
  const aborting = new AbortController()
  const outcome = await world.run(async () => {
    if (options.abortAtMs !== undefined) {
      const reason = new CoterieError('closed', 'the caller has gone')
      timers.after(options.abortAtMs, () => aborting.abort(reason))
    }
    return askInTurn(
      {
        clock,
        timers,
        hedges: options.hedges ?? new HedgeBudget(),
        order: options.order ?? (() => Object.keys(nodes)),
        ask: async (peerId, { timeoutMs, signal }) => {
          tries.push({ atMs: clock.monotonicMs(), peerId, timeoutMs })
          assert.is(signal, aborting.signal)
          const node = nodes[peerId]
          if ('silent' in node) {
            await timers.sleep(timeoutMs)
            throw new CoterieError('timeout', `${peerId} says nothing`)
          }
          if (node.afterMs !== undefined) await timers.sleep(node.afterMs)
          if ('code' in node) throw new CoterieError(node.code, `${peerId} says ${node.code}`)
          return node.answer
        },
        onTry: (peerId, outcome) =>
          told.push(
            'ms' in outcome
              ? `${peerId} ${outcome.ms}`
              : `${peerId} ${'error' in outcome ? outcome.error.code : 'late'}`
          )
      },
      { timeoutMs: options.timeoutMs ?? 10_000, signal: aborting.signal }
    ).catch((error: unknown) => error)
  })
  return { outcome, tries, told, endMs: world.nowMs, asked: tries.map(({ peerId }) => peerId).join(' ') }
}

test('the best node is asked first, the next only when it fails, and no more after an answer', async () => {
  const good = await ask({ a: { answer: OK, afterMs: 7 }, b: { answer: OK } })
  assert.is(good.outcome, OK)
  assert.equal([good.asked, good.told], ['a', ['a 7']])
  const second = await ask({ a: { code: 'unreachable' }, b: { answer: OK, afterMs: 3 }, c: { answer: OK } })
  assert.is(second.outcome, OK)
  assert.equal([second.asked, second.told], ['a b', ['a unreachable', 'b 3']])
})

test('what another node may do better goes to it; what none would do better is thrown at once', async () => {
  const retried: ErrorCode[] = [
    'not-available',
    'unreachable',
    'timeout',
    'overloaded',
    'closed',
    'wrong-node',
    'disk-full',
    'range-fenced'
  ]
  for (const code of retried) {
    const { outcome, asked } = await ask({ a: { code }, b: { answer: OK } })
    assert.is(outcome, OK, code)
    assert.is(asked, 'a b')
  }
  for (const code of ['bad-usage', 'too-large', 'too-many-siblings', 'bad-context', 'refused', 'internal'] as const) {
    const { outcome, asked, told } = await ask({ a: { code }, b: { answer: OK } })
    assert.ok(isCoterieError(outcome, code), code)
    assert.equal([asked, told], ['a', []])
  }
})

test('a node that does not hold the range is passed over, and counts as such', async () => {
  const { outcome, told } = await ask({ a: { answer: { type: 'moved', claims: [] } }, b: { answer: OK } })
  assert.is(outcome, OK)
  assert.equal(told, ['a 0', 'a wrong-node', 'b 0'])
})

test('a silent node is late after 150 ms, the next one after 50, and another is asked; each has all the time that is left', async () => {
  const long = await ask({ a: { silent: true }, b: { answer: OK } })
  assert.equal(long.tries, [
    { atMs: 0, peerId: 'a', timeoutMs: 10_000 },
    { atMs: 150, peerId: 'b', timeoutMs: 9850 }
  ])
  assert.equal(long.told, ['a late', 'b 0'])
  const short = await ask({ a: { silent: true }, b: { silent: true }, c: { answer: OK } }, { timeoutMs: 1200 })
  assert.equal(
    short.tries.map(({ timeoutMs }) => timeoutMs),
    [1200, 1050, 1000]
  )
})

test('all are asked again after pauses of 100 and 300 ms; who is silent has all the time', async () => {
  const { outcome, tries, endMs } = await ask(
    { a: { code: 'unreachable' }, b: { code: 'closed' } },
    { timeoutMs: 9000 }
  )
  assert.ok(isCoterieError(outcome, 'not-available'))
  assert.equal(
    tries.map(({ atMs, peerId }) => `${peerId} at ${atMs}`),
    ['a at 0', 'b at 0', 'a at 100', 'b at 100', 'a at 400', 'b at 400']
  )
  assert.is(endMs, 400)
  const silent = await ask({ a: { code: 'unreachable' }, b: { silent: true } }, { timeoutMs: 9000 })
  assert.ok(isCoterieError(silent.outcome, 'not-available'))
  assert.is(silent.endMs, 9000)
})

test('what is late or has too much to do is tried again within a budget only', async () => {
  const hedges = new HedgeBudget()
  const silent = { a: { silent: true }, b: { silent: true }, c: { silent: true } } as const
  let asked = 0
  for (let i = 0; i < 300; i++) asked += (await ask(silent, { timeoutMs: 800, hedges })).tries.length
  assert.ok(asked < 300 + 100 + 30 + 5, `${asked} tries of 300 requests`)
  while (hedges.spend());
  const one = await ask({ a: { code: 'overloaded' }, b: { answer: OK } }, { hedges })
  assert.is(one.outcome, OK, 'another may have less to do')
  let refused = 0
  for (let i = 0; i < 20; i++)
    refused += (await ask({ a: { code: 'overloaded' }, b: { code: 'overloaded' } }, { hedges })).tries.length
  assert.ok(refused <= 20 * 2 + 3 * 2, `${refused} tries of 20 requests`)
})

test('whom to ask is asked before each round: a ring learnt meanwhile counts', async () => {
  const orders = [['a'], ['b', 'a']]
  const { outcome, tries } = await ask({ a: { code: 'closed' }, b: { answer: OK } }, { order: () => orders.shift()! })
  assert.is(outcome, OK)
  assert.equal(
    tries.map(({ atMs, peerId }) => `${peerId} at ${atMs}`),
    ['a at 0', 'b at 100']
  )
})

test('no pause is begun that the time left does not cover', async () => {
  const { outcome, endMs, asked } = await ask({ a: { code: 'unreachable' } }, { timeoutMs: 350 })
  assert.ok(isCoterieError(outcome, 'not-available'))
  assert.equal([asked, endMs], ['a a', 100])
})

test('what a node says of its replicas is told rather than that another is silent, whichever came last', async () => {
  const said = 'a says not-available'
  const first = await ask({ a: { code: 'not-available' }, b: { code: 'unreachable' } })
  assert.ok(isCoterieError(first.outcome, 'not-available') && first.outcome.message === said, String(first.outcome))
  const last = await ask({ b: { silent: true }, a: { code: 'not-available' } })
  assert.ok(isCoterieError(last.outcome, 'not-available') && last.outcome.message === said, String(last.outcome))
  const none = await ask({ b: { code: 'unreachable' }, c: { code: 'overloaded' } })
  assert.ok(isCoterieError(none.outcome, 'not-available'))
  assert.match((none.outcome as Error).message, /^no node of the cluster answered.*c says overloaded$/)
  const nobody = await ask({})
  assert.ok(isCoterieError(nobody.outcome, 'not-available'))
})

test('a caller that goes during a pause is not kept waiting', async () => {
  const { outcome, endMs } = await ask({ a: { code: 'unreachable' } }, { abortAtMs: 150 })
  assert.ok(isCoterieError(outcome, 'closed'))
  assert.is(endMs, 150)
})

test.run()
