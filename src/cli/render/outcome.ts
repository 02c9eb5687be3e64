/** What an operation did, in words. Pure. */
import type { PutResult } from '../../store.ts'
import { plural } from './text.ts'

const WORDS = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
const ORDINALS = ['', '', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth']

const inWords = (value: number): string => WORDS[value] ?? String(value)
const values = (value: number): string => `${inWords(value)} ${value === 1 ? 'value' : 'values'}`

type Effect = Pick<PutResult, 'siblings' | 'replaced'>

/** `new key`, `replaced one value`, `made a second sibling`, `merged three values`, … */
export function putOutcome({ siblings, replaced }: Effect): string {
  if (replaced === 0 && siblings <= 1) return 'new key'
  if (replaced === 0) return `made a ${ORDINALS[siblings] ?? `${siblings}th`} sibling`
  const did = replaced === 1 ? 'replaced one value' : `merged ${values(replaced)}`
  if (siblings <= 1) return did
  return `${did}; ${values(siblings - 1)} written meanwhile ${siblings === 2 ? 'stands' : 'stand'} beside it`
}

export function deleteOutcome({ siblings, replaced }: Effect): string {
  const did = replaced === 0 ? 'deleted nothing: there was no value' : `deleted ${values(replaced)}`
  if (siblings === 0) return did
  const stay = siblings === 1 ? 'stays' : 'stay'
  return `${replaced === 0 ? 'deleted nothing' : did}; ${values(siblings)} written meanwhile ${stay}`
}

/** `2 acks`, with a word on a sloppy quorum. */
export function ackWords({ acks, sloppy }: Pick<PutResult, 'acks' | 'sloppy'>): string {
  return plural(acks, 'ack') + (sloppy ? ', sloppy: a stand-in took it for an owner that did not answer' : '')
}
