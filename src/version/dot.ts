/**
 * A dot names one write: the actor that took it (one opening of one range copy, design §7) and the actor's counter at
 * that moment. Dots are minted once and never again, so two copies of a dot are copies of the same write.
 * Source: Preguiça et al., "Dotted Version Vectors", 2012.
 */
import { CoterieError } from '../errors.ts'

export interface Dot {
  /** 16 lower-case hex digits: 64 random bits. */
  readonly actor: string
  /** 1, 2, 3, … over the whole range copy, not per key: the dots of one key have gaps. */
  readonly counter: number
}

export const ACTOR_BYTES = 8

const WRITTEN = /^([0-9a-f]{16}):([1-9][0-9]{0,15})$/

/** `actor:counter`, as people and answers see it. */
export function formatDot(dot: Dot): string {
  return `${dot.actor}:${dot.counter}`
}

/** Throws `bad-usage` for anything that `formatDot` does not write. */
export function parseDot(text: string): Dot {
  const match = WRITTEN.exec(text)
  const counter = Number(match?.[2])
  if (!match || !Number.isSafeInteger(counter)) {
    throw new CoterieError('bad-usage', `"${text}" is no dot; it takes 16 hex digits, a colon and a counter from 1`)
  }
  return { actor: match[1], counter }
}

/** The one order of dots everywhere: by actor, then by counter. Says nothing about time or causality. */
export function compareDots(a: Dot, b: Dot): number {
  if (a.actor !== b.actor) return a.actor < b.actor ? -1 : 1
  return a.counter - b.counter
}
