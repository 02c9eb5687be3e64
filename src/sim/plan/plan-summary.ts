/** A plan in words, for whoever looks at a failing seed: the cluster, what differs from the defaults, and what happens when. */
import { DEFAULT_SETTINGS, type NodeSettings } from '../../config.ts'
import { OPERATION_KINDS } from './check-plan.ts'
import { count, duration, faultInWords, profileInWords, seconds } from './fault-in-words.ts'
import { type Fault, keyName, type NodePlan, type Operation, type Plan } from './plan.ts'

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
    ...faults.map(fault => [fault.atMs, faultAndLength(fault)] as const),
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

const faultAndLength = (fault: Fault) =>
  'forMs' in fault ? `${faultInWords(fault)} (for ${duration(fault.forMs)})` : faultInWords(fault)
