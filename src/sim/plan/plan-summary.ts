/** A plan in words, for whoever looks at a failing seed: the cluster, what differs from the defaults, and what happens when. */
import { DEFAULT_SETTINGS, type NodeSettings } from '../../config.ts'
import { OPERATION_KINDS } from './check-plan.ts'
import { type Fault, keyName, type LinkProfile, type NodePlan, type Operation, type Plan } from './plan.ts'

/** As many can be told one by one. */
const TOLD_OPERATIONS = 30

/** Clocks that are wrong by less are as clocks are. */
const TOLD_SKEW_MS = 1000
const TOLD_DRIFT = 0.001

/** One line each, without ends of line. */
export function planSummary(plan: Plan): string[] {
  const { operations, faults, nodes } = plan
  const isShort = operations.length <= TOLD_OPERATIONS
  const events = [
    ...nodes
      .slice(1)
      .map(node => [node.joinAtMs, `${node.name} joins`] as const)
      .filter(([atMs]) => atMs > 0),
    ...faults.map(fault => [fault.atMs, faultInWords(fault)] as const),
    ...(isShort ? operations.map(operation => [operation.atMs, operationInWords(operation, nodes)] as const) : []),
    [plan.healAtMs, `all faults are over; settles within ${seconds(plan.settleMs)}`] as const
  ]
  return [
    clusterInWords(plan),
    settingsInWords(plan.settings),
    linksInWords(plan),
    ...nodes.map(oddities).filter(line => line !== ''),
    operationsInWords(operations),
    ...events.sort(([a], [b]) => a - b).map(([atMs, what]) => `${seconds(atMs).padStart(8)}  ${what}`)
  ]
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const duration = (ms: number) => (Math.abs(ms) < 1000 ? `${ms} ms` : seconds(ms))
const percent = (share: number) => `${+(100 * share).toFixed(1)} %`
const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`

function clusterInWords({ scenario, nodes, params, settings }: Plan): string {
  const { q, n, r, w } = params
  const durability = settings.durability ?? DEFAULT_SETTINGS.durability
  return `scenario ${scenario}: ${count(nodes.length, 'node')}, Q ${q}, N ${n}, R ${r}, W ${w}, durability ${durability}`
}

function settingsInWords(settings: Partial<NodeSettings>): string {
  const changed = Object.entries(settings).filter(
    ([name, value]) => name !== 'durability' && value !== DEFAULT_SETTINGS[name as keyof NodeSettings]
  )
  return changed.length === 0 ? 'default settings' : changed.map(([name, value]) => `${name} ${value}`).join(', ')
}

function linksInWords({ links, disks }: Plan): string {
  return `links: ${profileInWords(links)}; disks: read ${disks.readMs} ms, write ${disks.writeMs} ms, sync ${disks.syncMs} ms`
}

function profileInWords({ minMs, meanMs, slowChance, slowMs, loss, replay }: Partial<LinkProfile>): string {
  const parts = [
    minMs !== undefined && `at least ${minMs} ms`,
    meanMs !== undefined && `${meanMs} ms more on average`,
    slowChance && `${percent(slowChance)} take ${duration(slowMs ?? 0)} longer`,
    loss && `${percent(loss)} lost`,
    replay && `${percent(replay)} delivered twice`
  ]
  return parts.filter(part => typeof part === 'string').join(', ') || 'nothing lost or late'
}

/** What is special about a node; empty if nothing is. */
function oddities({ name, zone, capacity, skewMs, drift }: NodePlan): string {
  const parts = [
    zone !== '' && `zone ${zone}`,
    capacity !== 1 && `capacity ${capacity}`,
    Math.abs(skewMs) >= TOLD_SKEW_MS && `clock off by ${duration(skewMs)}`,
    Math.abs(drift) >= TOLD_DRIFT && `clock gains ${+(1000 * drift).toFixed(3)} ms a second`
  ].filter(part => part !== false)
  return parts.length === 0 ? '' : `${name}: ${parts.join(', ')}`
}

function operationsInWords(operations: readonly Operation[]): string {
  if (operations.length === 0) return 'no operations'
  const kinds = OPERATION_KINDS.map(
    kind => [operations.filter(operation => operation.kind === kind).length, kind] as const
  )
  const distinct = (field: 'client' | 'key') => new Set(operations.map(operation => operation[field])).size
  const told = kinds.filter(([found]) => found > 0).map(([found, kind]) => `${found} ${kind}`)
  const times = operations.map(operation => operation.atMs)
  return (
    `${count(operations.length, 'operation')} by ${count(distinct('client'), 'client')} on ${count(distinct('key'), 'key')}, ` +
    `${seconds(Math.min(...times))} to ${seconds(Math.max(...times))}: ${told.join(', ')}`
  )
}

function operationInWords({ client, kind, key, via, ttlMs, r, w }: Operation, nodes: readonly NodePlan[]): string {
  const levels = [
    ttlMs !== undefined && `for ${duration(ttlMs)}`,
    r !== undefined && `r ${r}`,
    w !== undefined && `w ${w}`
  ].filter(part => part !== false)
  const what = kind === 'list' ? kind : `${kind} ${keyName(key)}`
  return [`client ${client}: ${what} via ${nodes[via].name}`, ...levels].join(', ')
}

function faultInWords(fault: Fault): string {
  const lasting = 'forMs' in fault ? ` for ${duration(fault.forMs)}` : ''
  switch (fault.kind) {
    case 'crash':
      return `crash of ${fault.node}, down${lasting}`
    case 'power-cut':
      return `power cut of ${fault.node}${lasting}${fault.torn ? ', torn' : ''}`
    case 'restart':
      return `stop of ${fault.node}${lasting}, then a start`
    case 'pause':
      return `${fault.node} hangs${lasting}`
    case 'wipe':
      return `${fault.node} loses its directory, down${lasting}`
    case 'clock-jump':
      return `clock of ${fault.node} jumps ${fault.byMs < 0 ? 'back' : 'forward'} by ${duration(Math.abs(fault.byMs))}`
    case 'partition':
      return `partition${lasting}: ${fault.groups.map(group => group.join(' ')).join(' | ')} | the rest`
    case 'one-way':
      return `nothing from ${fault.from} reaches ${fault.to}${lasting}`
    case 'swizzle':
      return `links of ${fault.nodes.join(', ')} stop and return one by one${lasting}`
    case 'bad-links':
      return `bad links of ${fault.node}${lasting}: ${profileInWords(fault.change)}`
    case 'reset':
      return `connections of ${fault.node} break`
    case 'disk-stall':
      return `disk of ${fault.node} stalls${lasting}`
    case 'disk-full':
      return `disk of ${fault.node} is full${lasting}`
    case 'eio':
      return `${fault.node}: the next ${count(fault.times, fault.operation)} fail with EIO`
    case 'bit-rot':
      return `${fault.node}: ${count(fault.bits, 'bit')} on its disk flip`
    case 'lost-write':
      return `${fault.node}: the next ${count(fault.times, 'write')} are acknowledged and lost`
    case 'misdirected-write':
      return `${fault.node}: the next write lands in another place`
    case 'forge':
      return `${fault.from} gossips a forged record of ${fault.victim}`
    case 'replay-record':
      return `${fault.from} gossips an old record of ${fault.victim}`
  }
}
