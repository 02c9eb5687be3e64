/** The REPL's commands on keys. They remember the context of every key, so that a put replaces what its user has seen. */
import { CoterieError } from '../../errors.ts'
import { usage } from '../args.ts'
import { ackWords, deleteOutcome, putOutcome } from '../render/outcome.ts'
import { lifeLeft, siblingLines } from '../render/siblings.ts'
import { plural, printable, printableKey } from '../render/text.ts'
import * as values from '../values.ts'
import { expect, keyWord, type Sitting, takeFlags, type Verb } from './verb.ts'
import { valueBytes } from './words.ts'

const LISTED_AT_FIRST = 100

/** Options of one operation: flags of the line, else what `set` said. */
function options(sitting: Sitting, flags: ReturnType<typeof takeFlags>, signal: AbortSignal, level: 'r' | 'w') {
  const { settings } = sitting
  const word = flags.word(level)
  const asked = word ? values.level(`--${level}`, word.text) : settings[level]
  return {
    signal,
    ...(asked !== undefined && { [level]: asked }),
    ...(settings.timeoutMs !== undefined && { timeoutMs: settings.timeoutMs })
  }
}

const get: Verb = {
  name: 'get',
  usage: 'KEY [--r n|quorum|all] [--latest]',
  summary: 'read a key; several values are concurrent writes (siblings), --latest shows the last written',
  completes: 'keys',
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { r: true, latest: false })
    expect(flags.rest, get, 1, 1)
    const key = keyWord(flags.rest[0]!)
    const { siblings, context, replies } = await sitting.cluster.get(key, {
      ...options(sitting, flags, signal, 'r'),
      ...(flags.on('latest') && { latest: true })
    })
    sitting.seen.remember(key, context)
    if (siblings.length === 0) throw new CoterieError('not-found', `no such key: ${printableKey(key)}`)
    const { style } = sitting
    const nowMs = sitting.clock.wallMs()
    if (siblings.length === 1) {
      const [one] = siblings
      await sitting.out(printable(one!.value))
      const facts = [`dot ${one!.dot}`, plural(replies, 'reply', 'replies'), lifeLeft(one!, nowMs)]
      return await sitting.out(style.dim(facts.filter(Boolean).join(', ')))
    }
    await sitting.out(
      style.yellow(`${siblings.length} siblings: concurrent values (${plural(replies, 'reply', 'replies')})`)
    )
    for (const line of siblingLines(siblings, sitting.width(), nowMs, style)) await sitting.out(line)
    await sitting.out(style.dim(`the next put of ${printableKey(key)} replaces all ${siblings.length}`))
  }
}

const put: Verb = {
  name: 'put',
  usage: 'KEY VALUE [--blind] [--ttl s] [--w n|quorum|all]',
  summary: 'write a key: replaces what you last saw of it; --blind adds a sibling. VALUE may be @FILE',
  completes: 'keys',
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { blind: false, ttl: true, w: true })
    expect(flags.rest, put, 2, 2)
    const key = keyWord(flags.rest[0]!)
    const value = await valueBytes(flags.rest[1]!, sitting.readFile)
    const context = flags.on('blind') ? undefined : sitting.seen.context(key)
    const ttl = flags.word('ttl')
    const result = await sitting.cluster.put(key, value, {
      ...options(sitting, flags, signal, 'w'),
      ...(context !== undefined && { context }),
      ...(ttl && { ttlMs: values.ttlMs('--ttl', ttl.text) })
    })
    sitting.seen.remember(key, result.context)
    await sitting.out(`${putOutcome(result)} ${sitting.style.dim(`(${ackWords(result)})`)}`)
    if (result.siblings > 1)
      await sitting.out(sitting.style.dim(`get ${printableKey(key)} shows all ${result.siblings}`))
  }
}

const remove: Verb = {
  name: 'delete',
  usage: 'KEY [--w n|quorum|all]',
  summary: 'delete what you last saw of a key, or else what is there',
  completes: 'keys',
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { w: true })
    expect(flags.rest, remove, 1, 1)
    const key = keyWord(flags.rest[0]!)
    const context = sitting.seen.context(key)
    const result = await sitting.cluster.delete(key, {
      ...options(sitting, flags, signal, 'w'),
      ...(context !== undefined && { context })
    })
    sitting.seen.remember(key, result.context)
    await sitting.out(`${deleteOutcome(result)} ${sitting.style.dim(`(${ackWords(result)})`)}`)
  }
}

const update: Verb = {
  name: 'update',
  usage: 'KEY VALUE | KEY --append TEXT [--join SEP] | KEY --join SEP',
  summary: 'read, merge all siblings, write back; again when another writer came between',
  completes: 'keys',
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { append: true, join: true, r: true, w: true })
    expect(flags.rest, update, 1, 2)
    const key = keyWord(flags.rest[0]!)
    const whole = flags.rest[1] && (await valueBytes(flags.rest[1], sitting.readFile))
    const append = flags.word('append') && (await valueBytes(flags.word('append')!, sitting.readFile))
    const join = flags.word('join')?.bytes
    if (whole ? append || join : !append && !join) throw usage(`update takes ${update.usage}`)
    const merge = (siblings: Uint8Array[]) => {
      if (whole) return whole
      if (!append && siblings.length === 0) throw new CoterieError('not-found', `no such key: ${printableKey(key)}`)
      return joined(siblings, join ?? new Uint8Array(0), append)
    }
    const result = await sitting.cluster.update(key, merge, {
      ...options(sitting, flags, signal, 'r'),
      ...options(sitting, flags, signal, 'w')
    })
    sitting.seen.remember(key, result.context)
    await sitting.out(`${putOutcome(result)} ${sitting.style.dim(`(${ackWords(result)})`)}`)
  }
}

/** Equal siblings once, in order, with `separator` between them and `tail` behind them. */
export function joined(siblings: Uint8Array[], separator: Uint8Array, tail: Uint8Array | undefined): Uint8Array {
  const different = new Map(siblings.map(value => [Buffer.from(value).toString('latin1'), value]))
  const parts = [...different.values()].flatMap((value, i) => (i === 0 ? [value] : [separator, value]))
  return new Uint8Array(Buffer.concat(tail ? [...parts, tail] : parts))
}

const keys: Verb = {
  name: 'keys',
  usage: '[PREFIX] [--range R] [--all]',
  summary: `list keys; the first ${LISTED_AT_FIRST}, or --all`,
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { range: true, all: false })
    expect(flags.rest, keys, 0, 1)
    const range = flags.word('range')
    const prefix = flags.rest[0]?.bytes
    let listed = 0
    const listing = sitting.cluster.keys({
      signal,
      ...(range && { range: values.wholeNumber('--range', range.text, 0, Number.MAX_SAFE_INTEGER) }),
      ...(prefix && { prefix }),
      ...(sitting.settings.timeoutMs !== undefined && { timeoutMs: sitting.settings.timeoutMs })
    })
    for await (const key of listing) {
      if (listed === LISTED_AT_FIRST && !flags.on('all')) {
        return await sitting.out(sitting.style.dim(`… and more: keys --all, or give a prefix`))
      }
      sitting.seen.name(key)
      await sitting.out(printableKey(key))
      listed++
    }
    await sitting.out(sitting.style.dim(plural(listed, 'key')))
  }
}

const forget: Verb = {
  name: 'forget',
  usage: '[KEY]',
  summary: 'forget what you saw of a key (or of all): the next put adds a sibling',
  completes: 'keys',
  async run(sitting, words) {
    expect(words, forget, 0, 1)
    if (!words[0]) return await sitting.out(`forgot ${plural(sitting.seen.forgetAll(), 'key')}`)
    const key = keyWord(words[0])
    await sitting.out(
      sitting.seen.forget(key) ? `forgot ${printableKey(key)}` : `${printableKey(key)} was not seen yet`
    )
  }
}

export const dataVerbs: Verb[] = [get, put, remove, update, keys, forget]
