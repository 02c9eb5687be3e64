/** Texts from flags and the REPL as values: numbers, levels, addresses, bytes. Every refusal says what is taken. Pure. */
import { MAX_REPLICAS } from '../config.ts'
import type { Level } from '../messages.ts'
import { type Arguments, usage } from './args.ts'

/** A day: longer deadlines are typing errors. */
const MAX_TIMEOUT_MS = 86_400_000
/** A hundred years. */
const MAX_TTL_S = 3_155_760_000
const MAX_CAPACITY = 1_000_000

export function wholeNumber(name: string, text: string, low: number, high: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < low || value > high) {
    throw usage(`${name} is "${text}"; it takes a whole number from ${low} to ${high}`)
  }
  return value
}

export function positiveNumber(name: string, text: string, high: number): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0 || value > high) {
    throw usage(`${name} is "${text}"; it takes a number above 0, at most ${high}`)
  }
  return value
}

/** A node's share of the ranges, relative to the others'. */
export const capacity = (name: string, text: string): number => positiveNumber(name, text, MAX_CAPACITY)

export function level(name: string, text: string): Level {
  if (text === 'quorum' || text === 'all' || text === 'default') return text
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1 && value <= MAX_REPLICAS) return value
  throw usage(`${name} is "${text}"; it takes a number from 1 to ${MAX_REPLICAS}, quorum or all`)
}

export const timeoutMs = (name: string, text: string): number => wholeNumber(name, text, 1, MAX_TIMEOUT_MS)
/** Seconds as typed → milliseconds. */
export const ttlMs = (name: string, text: string): number =>
  Math.max(1, Math.round(positiveNumber(name, text, MAX_TTL_S) * 1000))

export function oneOf<T extends string>(name: string, text: string, words: readonly T[]): T {
  if ((words as readonly string[]).includes(text)) return text as T
  throw usage(`${name} is "${text}"; it takes ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`)
}

/** Hex digits as bytes. */
export function hexBytes(name: string, text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw usage(`${name} is "${text}"; it takes an even number of hex digits`)
  }
  return new Uint8Array(Buffer.from(text, 'hex'))
}

const ADDRESS = /^\/(ip4|ip6|dns|dns4|dns6)\/([^/\s]+)\/tcp\/(\d{1,5})(\/p2p\/[1-9A-HJ-NP-Za-km-z]+)?$/

/** A multiaddr over TCP; anything else is refused with the right spelling where it can be guessed. */
export function address(name: string, text: string): string {
  const port = Number(ADDRESS.exec(text)?.[3] ?? Number.NaN)
  if (port <= 65_535) return text
  throw usage(`${name} is "${text}"; it takes a multiaddr such as /ip4/HOST/tcp/PORT${spelling(text)}`)
}

function spelling(text: string): string {
  const [, host, port] = /^(?:tcp:\/\/)?\[?([\w.-]+|[0-9a-fA-F:]*::?[0-9a-fA-F:]*)\]?:(\d{1,5})$/.exec(text) ?? []
  if (!host || Number(port) > 65_535) return ''
  const kind = /^\d+(\.\d+){3}$/.test(host) ? 'ip4' : host.includes(':') ? 'ip6' : 'dns'
  return ` (here: /${kind}/${host}/tcp/${port})`
}

export function addresses(given: Arguments, name: string): string[] | undefined {
  return given.list(name)?.map(text => address(given.origin(name), text))
}

/** `flag` through `read`, or undefined when it was not given. */
export function optional<T>(given: Arguments, flag: string, read: (name: string, text: string) => T): T | undefined {
  const text = given.text(flag)
  return text === undefined ? undefined : read(given.origin(flag), text)
}
