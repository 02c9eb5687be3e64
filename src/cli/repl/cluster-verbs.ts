/** The REPL's commands about the cluster and about itself. */

import { parseArguments } from '../args.ts'
import type { ClusterStatus, InfoTopic, MemberInfo, RingInfo, TransferInfo, WhereInfo } from '../parts.ts'
import { PLAN_FLAGS, planOf } from '../plan.ts'
import { memberLines, ringLines, statLines, whereLines } from '../render/cluster.ts'
import { planLines } from '../render/plan.ts'
import { statusLines } from '../render/status.ts'
import { plural } from '../render/text.ts'
import { progressLine, rangeCount, transferLines } from '../render/transfers.ts'
import * as values from '../values.ts'
import { expect, keyWord, type Settings, type Sitting, takeFlags, type Verb } from './verb.ts'

/** Fast enough for a bar to move, rare enough to cost nothing. */
const WATCH_INTERVAL_MS = 300

export const SETTING_NAMES = ['r', 'w', 'timeout', 'timing'] as const

async function lines(sitting: Sitting, all: string[]): Promise<void> {
  for (const line of all) await sitting.out(line)
}

const where: Verb = {
  name: 'where',
  usage: 'KEY',
  summary: 'show which nodes hold a key',
  completes: 'keys',
  async run(sitting, words) {
    expect(words, where, 1, 1)
    const document = (await sitting.cluster.info('where', keyWord(words[0]!))) as WhereInfo
    await lines(sitting, whereLines(document, sitting.style))
  }
}

/** Shows the document of that name as lines. */
function shown<T>(name: InfoTopic, summary: string, draw: (document: T, sitting: Sitting) => string[]): Verb {
  const verb: Verb = {
    name,
    usage: '',
    summary,
    async run(sitting, words) {
      expect(words, verb, 0, 0)
      await lines(sitting, draw((await sitting.cluster.info(name)) as T, sitting))
    }
  }
  return verb
}

const members = shown<MemberInfo[]>('members', 'list the nodes', (all, sitting) =>
  memberLines(all, sitting.width(), sitting.style)
)

const ring: Verb = {
  name: 'ring',
  usage: '',
  summary: 'draw who owns which range',
  async run(sitting, words) {
    expect(words, ring, 0, 0)
    const document = (await sitting.cluster.info('ring')) as RingInfo
    const all = (await sitting.cluster.info('members')) as MemberInfo[]
    await lines(sitting, ringLines(document, all, sitting.width(), sitting.style))
  }
}

const stats = shown('stats', 'show counters of the node asked', (counters, { style }) => statLines(counters, style))

const status = shown<ClusterStatus>('status', 'tell whether every range has all its copies', (found, { style }) =>
  statusLines(found, style)
)

const transfers: Verb = {
  name: 'transfers',
  usage: '[--watch]',
  summary: 'show ranges on their way to the node asked; --watch until all are there (Ctrl-C ends it)',
  async run(sitting, words, signal) {
    const flags = takeFlags(words, { watch: false })
    expect(flags.rest, transfers, 0, 0)
    const ask = async () => (await sitting.cluster.info('transfers')) as TransferInfo[]
    if (!flags.on('watch')) return await lines(sitting, transferLines(await ask(), sitting.width(), sitting.style))
    const seen = new Map<number, number>()
    try {
      for (let now = await ask(); now.length > 0; now = await ask()) {
        rangeCount(now, seen)
        sitting.status.show(progressLine(now, sitting.width() - 1, sitting.style))
        await sitting.timers.sleep(WATCH_INTERVAL_MS, signal)
      }
    } finally {
      sitting.status.show('')
    }
    await sitting.out(
      seen.size === 0 ? 'no range is being transferred' : `${plural(rangeCount([], seen), 'range')} arrived`
    )
  }
}

const plan: Verb = {
  name: 'plan',
  usage: '[--join N [--zone Z] [--join-capacity C]] [--leave PEER] [--remove PEER] [--capacity PEER=C]',
  summary: 'show what would move, without changing anything',
  async run(sitting, words) {
    const texts = words.map(({ text }) => text)
    const given = parseArguments(texts, PLAN_FLAGS, { command: plan.name, args: [] }, {})
    await lines(sitting, planLines(await planOf(given, sitting.cluster), sitting.width(), sitting.style))
  }
}

const set: Verb = {
  name: 'set',
  usage: '[r|w n|quorum|all|default] [timeout ms|default] [timing on|off]',
  summary: 'what this sitting asks for; alone: shows it',
  completes: 'settings',
  async run(sitting, words) {
    expect(words, set, words.length === 1 ? 2 : 0, 2)
    const { settings } = sitting
    if (words.length === 2) change(settings, words[0]!.text, words[1]!.text)
    const { r = 'default', w = 'default', timeoutMs, timing } = settings
    const timeout = timeoutMs === undefined ? 'default' : `${timeoutMs} ms`
    await sitting.out(`r ${r}, w ${w}, timeout ${timeout}, timing ${timing ? 'on' : 'off'}`)
  }
}

function change(settings: Settings, name: string, text: string): void {
  const setting = values.oneOf('the setting', name, SETTING_NAMES)
  if (setting === 'timing') settings.timing = values.oneOf(setting, text, ['on', 'off']) === 'on'
  else if (text === 'default') delete settings[setting === 'timeout' ? 'timeoutMs' : setting]
  else if (setting === 'timeout') settings.timeoutMs = values.timeoutMs(setting, text)
  else settings[setting] = values.level(setting, text)
}

export const clusterVerbs: Verb[] = [where, members, ring, stats, status, transfers, plan, set]
