/** What a fault does, in words: for the summary of a plan and for the story of a failure. */
import type { Fault, LinkProfile } from './plan.ts'

export const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
export const duration = (ms: number) => (Math.abs(ms) < 1000 ? `${ms} ms` : seconds(ms))
export const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`
const percent = (share: number) => `${+(100 * share).toFixed(1)} %`

/** Without its times: whoever tells it says when it ends. */
export function faultInWords(fault: Fault): string {
  switch (fault.kind) {
    case 'crash':
      return `${fault.node} is killed`
    case 'power-cut':
      return `${fault.node} loses power, and what it had not synced${fault.torn ? ', torn' : ''}`
    case 'restart':
      return `${fault.node} is stopped`
    case 'pause':
      return `${fault.node} hangs`
    case 'wipe':
      return `${fault.node} loses its directory`
    case 'leave':
      return `${fault.node} is told to leave`
    case 'clock-jump':
      return `the clock of ${fault.node} jumps ${fault.byMs < 0 ? 'back' : 'forward'} by ${duration(Math.abs(fault.byMs))}`
    case 'partition':
      return `no links between ${fault.groups.map(group => group.join(' ')).join(' | ')} | the others`
    case 'one-way':
      return `nothing from ${fault.from} reaches ${fault.to}`
    case 'swizzle':
      return `the links of ${fault.nodes.join(', ')} stop one by one, and return`
    case 'bad-links':
      return `the links of ${fault.node} are bad: ${profileInWords(fault.change)}`
    case 'reset':
      return `the connections of ${fault.node} break`
    case 'disk-stall':
      return `the disk of ${fault.node} stands still`
    case 'disk-full':
      return `the disk of ${fault.node} is full`
    case 'eio':
      return `the next ${count(fault.times, fault.operation)} of the disk of ${fault.node} fail with EIO`
    case 'bit-rot':
      return `${count(fault.bits, 'bit')} on the disk of ${fault.node} flip`
    case 'lost-write':
      return `the next ${count(fault.times, 'write')} of the disk of ${fault.node} are acknowledged and not done`
    case 'misdirected-write':
      return `the next write of the disk of ${fault.node} lands in another place`
    case 'forge':
      return `${fault.from} gossips a forged record of ${fault.victim}`
    case 'replay-record':
      return `${fault.from} gossips an old record of ${fault.victim}`
  }
}

export function profileInWords({ minMs, meanMs, slowChance, slowMs, loss, replay }: Partial<LinkProfile>): string {
  const parts = [
    minMs !== undefined && `at least ${minMs} ms`,
    meanMs !== undefined && `${meanMs} ms more on average`,
    slowChance && `${percent(slowChance)} take ${duration(slowMs ?? 0)} longer`,
    loss && `${percent(loss)} lost`,
    replay && `${percent(replay)} delivered twice`
  ]
  return parts.filter(part => typeof part === 'string').join(', ') || 'nothing lost or late'
}
