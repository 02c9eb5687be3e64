/** Opens a damaged log, looks at every key, uses the store, opens it again: throws what is wrong with that. */
import type { Damage, RangeStore, StoredKey } from '../../../src/storage/range-store.ts'
import { FakeFiles } from '../../support/fake-files.ts'
import { bytesOf, openStore, RANGE, textOf } from '../helpers.ts'
import { type Expected, expectedOf } from './expected.ts'
import type { Image, Sample } from './sample.ts'

/** What a key is, or that its record is found damaged when it is read. */
type Answer = { value: string | undefined } | 'damaged'

export interface Examined {
  damages: number
  tornBytes: number
  answers: Map<string, Answer>
}

/** What a put after the damage writes. */
const AFTER = 'after the damage'

/** `looked`: of a large log not all keys are looked at, and then they are not paged. `restarts`: opens it again, too. */
export async function examine(sample: Sample, image: Image, looked?: StoredKey[], restarts = true): Promise<Examined> {
  const expected = expectedOf(sample, image)
  const files = new FakeFiles()
  for (const [path, bytes] of image) files.set(path, bytes)
  const { store, report } = await openStore(files)
  const found: Damage[] = []
  store.onDamage(damage => found.push(damage))
  store.create(RANGE)
  const answers = await answersOf(store, sample, looked)
  check(expected, answers)
  const isReported = report.damages.length > 0 || report.tornBytes > 0 || found.length > 0
  checkReport(sample, expected, answers, [...report.damages, ...found], isReported)
  const changed = (looked ?? sample.keys)[1]!
  await store.put(RANGE, changed, bytesOf(AFTER), 1)
  if (textOf(await store.get(RANGE, changed)) !== AFTER) throw new Error('a put after it is not seen')
  await store.close()
  if (files.openHandles > 0) throw new Error(`${files.openHandles} files are still open`)
  if (restarts) await restart(files, sample, looked, changed, expected, answers)
  return { damages: report.damages.length + found.length, tornBytes: report.tornBytes, answers }
}

async function restart(
  files: FakeFiles,
  sample: Sample,
  looked: StoredKey[] | undefined,
  changed: StoredKey,
  expected: Expected,
  answers: Map<string, Answer>
): Promise<void> {
  const again = await openStore(files)
  const later = await answersOf(again.store, sample, looked)
  const name = textOf(changed.bytes)!
  expected.allowed.set(name, [AFTER])
  check(expected, later, 'after a restart ')
  for (const [key, answer] of answers) {
    const now = later.get(key)
    if (key !== name && answer !== 'damaged' && now !== 'damaged' && now?.value !== answer.value)
      throw new Error(`${key} was ${answer.value} after the damage, and is ${now?.value} after a restart`)
  }
  await again.store.close()
}

async function answersOf(store: RangeStore, { keys }: Sample, looked?: StoredKey[]): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>()
  for (const key of looked ?? keys) {
    const answer = store.state(RANGE) === 'absent' ? { value: undefined } : await answerOf(store, key)
    answers.set(textOf(key.bytes)!, answer)
  }
  if (looked) return answers
  const { keys: paged } = await store.page(RANGE, undefined, 1e9)
  const present = [...answers].filter(([, answer]) => answer !== 'damaged' && answer.value !== undefined)
  const names = new Set(paged.map(key => textOf(key)))
  if (names.size !== paged.length || names.size !== present.length || present.some(([key]) => !names.has(key)))
    throw new Error(`paging finds ${[...names].join(', ')}, and there are ${present.map(([key]) => key).join(', ')}`)
  return answers
}

async function answerOf(store: RangeStore, key: StoredKey): Promise<Answer> {
  try {
    return { value: textOf(await store.get(RANGE, key)) }
  } catch (error) {
    if ((error as { code?: string }).code === 'damaged') return 'damaged'
    throw error
  }
}

function check({ allowed }: Expected, answers: Map<string, Answer>, when = ''): void {
  for (const [key, answer] of answers) {
    const choices = allowed.get(key) ?? [undefined]
    // Alone the latest record's being hit makes a choice.
    if (answer === 'damaged' ? choices.length > 1 : choices.includes(answer.value)) continue
    const is = answer === 'damaged' ? answer : answer.value
    throw new Error(`${when}${key} is ${is}, and may be ${choices.map(choice => choice ?? 'nothing').join(' | ')}`)
  }
}

function checkReport(
  sample: Sample,
  { hit, headerHit, before, seamless }: Expected,
  answers: Map<string, Answer>,
  damages: Damage[],
  isReported: boolean
): void {
  const isHinted = sample.hintPath !== undefined
  const differs = [...answers].some(([key, answer]) => answer === 'damaged' || answer.value !== before.get(key))
  const mustReport = isHinted ? differs : hit.size > 0 && !seamless
  if (mustReport && !isReported) throw new Error(`nothing is said of ${hit.size} records that are hit`)
  if (hit.size === 0 && !headerHit && damages.length > 0)
    throw new Error(`damage is reported, and nothing is hit: ${JSON.stringify(damages)}`)
  for (const { file, offset, length } of damages) {
    const isHit = [...hit].some(
      ({ path, offset: from, end }) => path === file && from < offset + length && offset < end
    )
    if (length > 0 && !isHit) throw new Error(`damage is reported at ${offset} of ${file}, where nothing is hit`)
  }
}
