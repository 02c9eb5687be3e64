/**
 * Histories of a store that is right by construction, an atomic register with siblings, never break a rule; a history from
 * whose end one value was taken that nothing had replaced always does.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WriteRecord } from '../../../src/sim/history.ts'
import { SimRandom } from '../../../src/sim/world/random.ts'
import { Account, CALM_MS, NODES } from './account.ts'

const test = suite('sim/checker: a store that is right')
const SEEDS = 200
const KEYS = ['k0', 'k1', 'k2']
const CLIENTS = 4

/** A key: its siblings, and everything that its context covers. */
class Register {
  siblings: WriteRecord[] = []
  readonly known = new Set<number>()

  /** A retry finds itself known, and does nothing. */
  apply(write: WriteRecord, context: ReadonlySet<number>): void {
    if (this.known.has(write.id)) return
    this.siblings = [...this.siblings.filter(({ id }) => !context.has(id)), write]
    for (const id of context) this.known.add(id)
    this.known.add(write.id)
  }

  shown(atMs: number): number[] {
    const live = this.siblings.filter(
      ({ value, expiresAtMs }) => value !== undefined && (expiresAtMs === undefined || expiresAtMs > atMs)
    )
    return live.map(({ id }) => id)
  }
}

interface Seen {
  context: ReadonlySet<number>
  covers: number[]
}

/** Runs clients on registers: an operation takes effect at one moment between its start and its end, or never, or later. */
class Model {
  readonly account: Account
  readonly #random: SimRandom
  readonly #registers = new Map(KEYS.map(key => [key, new Register()]))
  readonly #seen = new Map<string, Seen>()
  readonly #due: { atMs: number; run: () => void }[] = []

  constructor(seed: number) {
    this.#random = new SimRandom(`model/${seed}`)
    const random = this.#random
    this.account = new Account({
      params: random.pick([
        { q: 8, n: 3, r: 2, w: 2 },
        { q: 8, n: 3, r: 1, w: 1 }
      ]),
      settings: { durability: random.pick(['os', 'interval', 'disk']) }
    })
    if (random.chance(0.5)) this.account.fault({ kind: 'crash', atMs: CALM_MS + 500, forMs: 500, node: 'n1' })
    if (random.chance(0.3)) this.account.wipe('n1', CALM_MS + 700)
    if (random.chance(0.3)) this.account.cut('n1', CALM_MS + 900)
  }

  run(): this {
    for (let client = 0; client < CLIENTS; client++) this.#session(client, CALM_MS + this.#random.below(50), 25)
    while (this.#due.length > 0) {
      this.#due.sort((a, b) => a.atMs - b.atMs)
      this.#due.shift()!.run()
    }
    const atMs = this.account.plan.healAtMs + 5000
    for (const key of KEYS) this.account.end(this.#register(key).shown(atMs), undefined, key)
    return this
  }

  #at(atMs: number, run: () => void): void {
    this.#due.push({ atMs, run })
  }

  /** One operation after another. */
  #session(client: number, atMs: number, left: number): void {
    if (left === 0) return
    const random = this.#random
    const key = random.pick(KEYS)
    const took = random.between(2, 60)
    this.#at(atMs, () => {
      if (random.chance(0.4)) this.#read(client, key, atMs, took)
      else this.#write(client, key, atMs, took)
    })
    this.#at(atMs + took, () => this.#session(client, atMs + took + random.below(30), left - 1))
  }

  #read(client: number, key: string, at: number, took: number): void {
    const doneMs = at + this.#random.below(took)
    this.#at(doneMs, () => {
      const register = this.#register(key)
      const values = register.shown(doneMs)
      const via = this.#random.pick(NODES)
      this.account.read({ at, took, key, client, values, via, replies: this.account.plan.params.r })
      this.#seen.set(`${client} ${key}`, { context: new Set(register.known), covers: values })
    })
  }

  #write(client: number, key: string, at: number, took: number): void {
    const random = this.#random
    const name = `${client} ${key}`
    const kind = random.pick(['put', 'put', 'put', 'blind-put', 'expiring-put', 'delete', 'blind-delete'])
    const seen = kind.startsWith('blind') ? undefined : this.#seen.get(name)
    const isBlindDelete = kind === 'blind-delete'
    const outcome = random.chance(0.8) ? 'acked' : 'unknown'
    const words = {
      at,
      took,
      key,
      client,
      covers: isBlindDelete ? ('unknown' as const) : (seen?.covers ?? []),
      outcome,
      acks: random.between(this.account.plan.params.w, 3),
      ...(kind === 'expiring-put' && { expiresAtMs: at + random.between(100, 400_000) })
    } as const
    if (kind === 'delete' && seen === undefined) return
    const write = kind.endsWith('delete') ? this.account.delete(words) : this.account.put(words)
    const never = outcome === 'unknown' && random.chance(0.5)
    const late = outcome === 'unknown' && random.chance(0.5) ? 500 : 0
    const apply = () => {
      const register = this.#register(key)
      // The coordinator reads, then writes, in one moment.
      register.apply(write, isBlindDelete ? new Set(register.known) : (seen?.context ?? new Set()))
    }
    if (!never) this.#at(at + random.below(took) + late, apply)
    // A retry of the same write, which nothing may come of.
    if (!never && late === 0 && random.chance(0.2)) this.#at(at + took + random.below(300), apply)
    this.#at(at + took, () => {
      if (outcome !== 'acked') return
      if (isBlindDelete) this.#seen.delete(name)
      else {
        const context = new Set([...(seen?.context ?? []), write.id])
        this.#seen.set(name, { context, covers: [...(seen?.covers ?? []), write.id] })
      }
    })
  }

  #register(key: string): Register {
    return this.#registers.get(key)!
  }
}

test(`${SEEDS} histories of the model break no rule`, () => {
  let [writes, reads] = [0, 0]
  for (let seed = 0; seed < SEEDS; seed++) {
    const { account } = new Model(seed).run()
    writes += account.history.writes.length
    reads += account.history.reads.length
    const broken = account.check({ 'refused-in-calm': false })
    assert.equal(
      broken.map(({ rule, message }) => `${rule}: ${message}`),
      [],
      `seed ${seed}`
    )
  }
  assert.ok(writes > SEEDS * 40 && reads > SEEDS * 20, `${writes} writes, ${reads} reads`)
})

test('an acknowledged value taken out of the end is missed', () => {
  let caught = 0
  for (let seed = 0; seed < SEEDS; seed++) {
    const { account } = new Model(seed).run()
    for (const { reads, replicas } of account.findings.keys) {
      const lost = reads[0].values.find(id => mustStay(account, id))
      if (lost === undefined) continue
      for (const answer of [...reads, ...replicas]) answer.values = answer.values.filter(id => id !== lost)
      const { rule, writes } = account.check().find(({ rule }) => rule === 'lost-write') ?? {}
      assert.equal([seed, rule, writes?.[0]], [seed, 'lost-write', lost])
      caught++
      break
    }
  }
  assert.ok(caught > SEEDS / 4, `${caught} histories had one`)
})

test('an acknowledged value that was replaced, put back into the end, is noticed', () => {
  let caught = 0
  for (let seed = 0; seed < SEEDS; seed++) {
    const { account } = new Model(seed).run()
    const { writes } = account.history
    const by = writes.find(
      ({ covers, outcome, acks }) => outcome === 'acked' && acks > 1 && covers !== 'unknown' && covers.length > 0
    )
    if (by === undefined || by.covers === 'unknown') continue
    const [back] = by.covers
    const found = account.findings.keys.find(({ key }) => key === by.key)!
    for (const answer of [...found.reads, ...found.replicas]) answer.values.push(back)
    const rules = account.broken()
    assert.ok(rules.includes('resurrected'), `seed ${seed}: w${back} is back, and the rules broken are ${rules}`)
    caught++
  }
  assert.ok(caught > SEEDS / 2, `${caught} histories had one`)
})

/** Not while one node may have destroyed all copies that acknowledged it, or a blind delete may have read it. */
function mustStay({ history }: Account, id: number): boolean {
  const { outcome, acks, expiresAtMs, startMs, key } = history.writes[id]
  const mayBeDeleted = history.writes.some(
    write =>
      write.key === key &&
      write.value === undefined &&
      (write.covers === 'unknown' ? write.outcome !== 'acked' || write.endMs! >= startMs : write.covers.includes(id))
  )
  const covered = history.writes.some(({ covers }) => covers !== 'unknown' && covers.includes(id))
  return outcome === 'acked' && acks > 1 && expiresAtMs === undefined && !mayBeDeleted && !covered
}

test.run()
