/** What a plan must be like to be carried out: checked for plans out of a file and for those that shrinking makes. */
import { checkClusterParams, checkSettings, DEFAULT_SETTINGS } from '../../config.ts'
import { CoterieError } from '../../errors.ts'
import type { FaultKind, OperationKind, Plan } from './plan.ts'

/** Looks at one field; `names` are those of the nodes. */
type Check = (value: unknown, what: string, names: ReadonlySet<string>) => void
type Fields = Record<string, Check>

function must(holds: boolean, message: string): asserts holds {
  if (!holds) throw new CoterieError('bad-config', `plan: ${message}`)
}

const say = (value: unknown) => JSON.stringify(value) ?? 'missing'

const number =
  (low: number, high = Number.MAX_SAFE_INTEGER): Check =>
  (value, what) =>
    must(
      typeof value === 'number' && value >= low && value <= high,
      `${what} is ${say(value)}; it takes a number from ${low}${high === Number.MAX_SAFE_INTEGER ? ' on' : ` to ${high}`}`
    )
const whole =
  (low: number, high = Number.MAX_SAFE_INTEGER): Check =>
  (value, what, names) => {
    number(low, high)(value, what, names)
    must(Number.isInteger(value), `${what} is ${say(value)}; it takes a whole number`)
  }
const text: Check = (value, what) => must(typeof value === 'string', `${what} is ${say(value)}; it takes a text`)
const flag: Check = (value, what) =>
  must(typeof value === 'boolean', `${what} is ${say(value)}; it takes true or false`)
const oneOf =
  (choices: readonly string[]): Check =>
  (value, what) =>
    must(choices.includes(value as string), `${what} is ${say(value)}; it takes ${choices.join(', ')}`)
const node: Check = (value, what, names) =>
  must(names.has(value as string), `${what} is ${say(value)}, which is no node of this plan`)

/** A field that may be left out. */
const optional =
  (check: Check): Check =>
  (value, what, names) => {
    if (value !== undefined) check(value, what, names)
  }

function list(value: unknown, what: string): unknown[] {
  must(Array.isArray(value), `${what} is ${say(value)}; it takes a list`)
  return value
}

function object(value: unknown, what: string): Record<string, unknown> {
  must(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    `${what} is ${say(value)}; it takes fields`
  )
  return value as Record<string, unknown>
}

/** Exactly these fields: one that is misspelt would be ignored without a word. */
function checkFields(value: unknown, what: string, fields: Fields, names: ReadonlySet<string>): void {
  const found = object(value, what)
  for (const name of Object.keys(found)) must(Object.hasOwn(fields, name), `${what} has no field "${name}"`)
  for (const [name, check] of Object.entries(fields)) check(found[name], `${what}.${name}`, names)
}

const nodes: Check = (value, what, names) => {
  const found = list(value, what)
  must(found.length > 0, `${what} is empty`)
  found.forEach((name, index) => void node(name, `${what}[${index}]`, names))
  must(new Set(found).size === found.length, `${what} names a node twice`)
}

const groups: Check = (value, what, names) => {
  const sides = list(value, what)
  sides.forEach((side, index) => void nodes(side, `${what}[${index}]`, names))
  const named = sides.flat()
  nodes(named, what, names)
  must(named.length < names.size || sides.length > 1, `${what} parts nobody: all nodes are in one group`)
}

const share = number(0, 1)
const time = number(0)
const LINK_FIELDS: Fields = { minMs: time, meanMs: time, slowChance: share, slowMs: time, loss: share, replay: share }

const change: Check = (value, what, names) => {
  must(Object.keys(object(value, what)).length > 0, `${what} changes nothing`)
  const fields = Object.entries(LINK_FIELDS).map(([name, check]) => [name, optional(check)])
  checkFields(value, what, Object.fromEntries(fields), names)
}

/** How long a fault lasts, or how often it strikes. */
const duration = number(1)
const times = whole(1)

const FAULT_FIELDS: Record<FaultKind, Fields> = {
  crash: { forMs: duration, node },
  'power-cut': { forMs: duration, node, torn: flag },
  restart: { forMs: duration, node },
  pause: { forMs: duration, node },
  wipe: { forMs: duration, node },
  leave: { node },
  'clock-jump': { node, byMs: number(-1e12) },
  partition: { forMs: duration, groups },
  'one-way': { forMs: duration, from: node, to: node },
  swizzle: { forMs: duration, nodes },
  'bad-links': { forMs: duration, node, change },
  reset: { node },
  'disk-stall': { forMs: duration, node },
  'disk-full': { forMs: duration, node },
  eio: { node, operation: oneOf(['write', 'sync', 'read']), times },
  'bit-rot': { node, bits: times },
  'lost-write': { node, times },
  'misdirected-write': { node },
  forge: { from: node, victim: node },
  'replay-record': { from: node, victim: node }
}

export const FAULT_KINDS = Object.keys(FAULT_FIELDS) as readonly FaultKind[]

const OPERATIONS: Record<OperationKind, { reads: boolean; writes: boolean }> = {
  get: { reads: true, writes: false },
  put: { reads: false, writes: true },
  'blind-put': { reads: false, writes: true },
  delete: { reads: true, writes: true },
  'blind-delete': { reads: false, writes: true },
  update: { reads: true, writes: true },
  'expiring-put': { reads: false, writes: true },
  list: { reads: false, writes: false }
}

export const OPERATION_KINDS = Object.keys(OPERATIONS) as readonly OperationKind[]

/** Whether its `r` says anything. */
export const reads = (kind: OperationKind): boolean => OPERATIONS[kind].reads
/** Whether its `w` says anything. */
export const writes = (kind: OperationKind): boolean => OPERATIONS[kind].writes

/** Throws `bad-config`, saying which field is wrong and what it takes. */
export function checkPlan(value: unknown): Plan {
  const none = new Set<string>()
  checkFields(
    value,
    'the whole',
    {
      seed: text,
      scenario: text,
      params: (params, what) => checkFields(params, what, { q: whole(1), n: whole(1), r: whole(1), w: whole(1) }, none),
      settings: checkSomeSettings,
      nodes: list,
      links: (links, what) => checkFields(links, what, LINK_FIELDS, none),
      disks: (disks, what) => checkFields(disks, what, { readMs: time, writeMs: time, syncMs: time }, none),
      operations: list,
      faults: list,
      healAtMs: time,
      settleMs: time
    },
    none
  )
  const plan = value as Plan
  checkClusterParams({ ...plan.params, clusterId: '0'.repeat(32), name: '' })
  const names = checkNodes(plan)
  checkOperations(plan, names)
  checkFaults(plan, names)
  return plan
}

function checkSomeSettings(value: unknown, what: string): void {
  const settings = object(value, what)
  for (const [name, given] of Object.entries(settings)) {
    must(Object.hasOwn(DEFAULT_SETTINGS, name), `${what} has no field "${name}"`)
    const example = DEFAULT_SETTINGS[name as keyof typeof DEFAULT_SETTINGS]
    must(typeof given === typeof example, `${what}.${name} is ${say(given)}; it takes a ${typeof example}`)
  }
  checkSettings({ ...DEFAULT_SETTINGS, ...settings })
}

function checkNodes({ nodes, settings, healAtMs }: Plan): Set<string> {
  must(nodes.length > 0, 'nodes is empty')
  const names = new Set<string>()
  nodes.forEach((found, index) => {
    const fields: Fields = {
      name: text,
      joinAtMs: number(0, healAtMs),
      zone: text,
      capacity: number(0.01),
      skewMs: number(-1e12),
      // Beyond, a clock would stand still or run at twice the pace.
      drift: number(-0.5, 0.5)
    }
    checkFields(found, `nodes[${index}]`, fields, names)
    must(/^n\d+$/.test(found.name), `nodes[${index}].name is ${say(found.name)}; it takes n0, n1, …`)
    must(!names.has(found.name), `two nodes are called ${found.name}`)
    checkSettings({ ...DEFAULT_SETTINGS, ...settings, zone: found.zone, capacity: found.capacity })
    names.add(found.name)
  })
  must(nodes[0].joinAtMs === 0, 'the first node is the founder: its joinAtMs is 0')
  return names
}

function checkOperations({ operations, nodes, params, healAtMs }: Plan, names: ReadonlySet<string>): void {
  const ids = new Set<number>()
  operations.forEach((operation, index) => {
    const what = `operations[${index}]`
    const fields: Fields = {
      id: whole(0),
      atMs: number(0, healAtMs),
      client: whole(0),
      key: whole(0),
      kind: oneOf(OPERATION_KINDS),
      via: whole(0, nodes.length - 1),
      ttlMs: optional(number(1)),
      r: optional(whole(1, params.n)),
      w: optional(whole(1, params.n))
    }
    checkFields(operation, what, fields, names)
    must(!ids.has(operation.id), `two operations have the id ${operation.id}`)
    ids.add(operation.id)
    const expires = operation.kind === 'expiring-put'
    must(expires === (operation.ttlMs !== undefined), `${what} has kind ${operation.kind} and ttlMs ${operation.ttlMs}`)
  })
}

function checkFaults({ faults, healAtMs }: Plan, names: ReadonlySet<string>): void {
  faults.forEach((fault, index) => {
    const what = `faults[${index}]`
    oneOf(FAULT_KINDS)(object(fault, what).kind, `${what}.kind`, names)
    const fields: Fields = { kind: text, atMs: number(0, healAtMs), ...FAULT_FIELDS[fault.kind] }
    checkFields(fault, what, fields, names)
    const endMs = fault.atMs + ('forMs' in fault ? fault.forMs : 0)
    must(endMs <= healAtMs, `${what} ends at ${endMs}, after all is to be healed (${healAtMs})`)
    if (fault.kind === 'one-way') must(fault.from !== fault.to, `${what} is from a node to itself`)
    if (fault.kind === 'forge' || fault.kind === 'replay-record')
      must(fault.from !== fault.victim, `${what} is by its own victim`)
  })
}
