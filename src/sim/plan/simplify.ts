/** Ways to make a plan a little simpler without taking anything out of it, what simplifies most first. For shrinking. */
import type { Fault, NodePlan, Operation, Plan } from './plan.ts'
import { healEarlier, withParams } from './plan-edit.ts'
import { settleLimitMs } from './plan-times.ts'

/** Gives the same plan where there is nothing to simplify, and sometimes one that is not valid. */
export type Way = (plan: Plan) => Plan

/** A fault that is shorter than this is as good as none. */
const SHORTEST_MS = 100
/** Between the last thing that begins and the healing. */
const HEAL_PAUSE_MS = 1000

/** The ways for `plan`, to be applied one after another, each to what the last one left. */
export function ways(plan: Plan): Way[] {
  const { operations, faults } = plan
  return [
    plainLinks,
    plan => ({ ...plan, links: { ...plan.links, loss: 0 } }),
    plan => ({ ...plan, links: { ...plan.links, replay: 0 } }),
    plan => ({ ...plan, links: { ...plan.links, slowChance: 0, slowMs: 0 } }),
    ...everyNode(plan, node => ({ ...node, skewMs: 0, drift: 0 })),
    ...everyNode(plan, node => ({ ...node, zone: '', capacity: 1 })),
    ...everyNode(plan, node => ({ ...node, joinAtMs: 0 })),
    withDefaultStorage,
    ...merge(operations, 'client'),
    ...merge(operations, 'via'),
    ...merge(operations, 'key'),
    ...everyOperation(plan, ({ r: _, w: __, ...operation }) => operation),
    ...everyOperation(plan, lasting),
    ...PARAMS,
    ...faults.flatMap((fault, index) => faultWays(fault).map(way => atFault(index, way))),
    plan => healEarlier(plan, HEAL_PAUSE_MS),
    plan => ({ ...plan, settleMs: Math.min(plan.settleMs, settleLimitMs(plan)) })
  ]
}

function plainLinks(plan: Plan): Plan {
  return {
    ...plan,
    links: { minMs: 0.5, meanMs: 0.5, slowChance: 0, slowMs: 0, loss: 0, replay: 0 },
    disks: { readMs: 0.1, writeMs: 0.1, syncMs: 1 }
  }
}

function withDefaultStorage(plan: Plan): Plan {
  const { cacheBytes: _, compactBytes: __, hintBytes: ___, fileTransferBytes: ____, ...settings } = plan.settings
  return { ...plan, settings }
}

/** First all of them at once, then each. */
function everyNode({ nodes }: Plan, simple: (node: NodePlan) => NodePlan): Way[] {
  return [
    plan => ({ ...plan, nodes: plan.nodes.map(simple) }),
    ...nodes.map(
      (_, index): Way =>
        plan => ({ ...plan, nodes: plan.nodes.with(index, simple(plan.nodes[index])) })
    )
  ]
}

function everyOperation({ operations }: Plan, simple: (operation: Operation) => Operation): Way[] {
  return [
    plan => ({ ...plan, operations: plan.operations.map(simple) }),
    ...operations.map(
      (_, index): Way =>
        plan => ({ ...plan, operations: plan.operations.with(index, simple(plan.operations[index])) })
    )
  ]
}

function lasting({ ttlMs: _, ...operation }: Operation): Operation {
  return operation.kind === 'expiring-put' ? { ...operation, kind: 'put' } : operation
}

/** One client, node or key for all operations; or one of them fewer. */
function merge(operations: readonly Operation[], field: 'client' | 'key' | 'via'): Way[] {
  const [first, ...others] = [...new Set(operations.map(operation => operation[field]))].sort((a, b) => a - b)
  const into =
    (isMerged: (value: number) => boolean): Way =>
    plan => ({
      ...plan,
      operations: plan.operations.map(operation =>
        isMerged(operation[field]) ? { ...operation, [field]: first } : operation
      )
    })
  return [into(() => true), ...others.map(other => into(value => value === other))]
}

/** Where reads meet writes they still do, and the other way round: otherwise other promises would be kept or broken. */
function changeParams(change: (params: Plan['params']) => Partial<Plan['params']>): Way {
  return plan => {
    const before = plan.params
    const after = { ...before, ...change(before) }
    return after.r + after.w > after.n === before.r + before.w > before.n ? withParams(plan, after) : plan
  }
}

const PARAMS: Way[] = [
  changeParams(() => ({ q: 8 })),
  changeParams(({ q }) => ({ q: q / 2 })),
  changeParams(({ n, r, w }) => ({ n: n - 1, r: Math.min(r, n - 1), w: Math.min(w, n - 1) })),
  changeParams(({ n, r }) => ({ n: n - 1, r: r - 1 })),
  changeParams(({ n, w }) => ({ n: n - 1, w: w - 1 })),
  changeParams(({ r }) => ({ r: r - 1 })),
  changeParams(({ w }) => ({ w: w - 1 }))
]

type FaultWay = (fault: Fault) => Fault

const atFault =
  (index: number, way: FaultWay): Way =>
  plan => ({ ...plan, faults: plan.faults.with(index, way(plan.faults[index])) })

function faultWays(fault: Fault): FaultWay[] {
  const shorter = [8, 2].map(divisor => (fault: Fault) => shorten(fault, divisor))
  return 'forMs' in fault ? [...shorter, ...detailWays(fault)] : detailWays(fault)
}

function shorten(fault: Fault, divisor: number): Fault {
  if (!('forMs' in fault)) return fault
  const forMs = Math.round(fault.forMs / divisor)
  return forMs < SHORTEST_MS ? fault : { ...fault, forMs }
}

function detailWays(fault: Fault): FaultWay[] {
  switch (fault.kind) {
    case 'swizzle':
      return fault.nodes.map(
        name => found => (found.kind === 'swizzle' ? { ...found, nodes: without(found.nodes, name) } : found)
      )
    case 'partition':
      return fault.groups.flat().map(name => found => (found.kind === 'partition' ? rejoin(found, name) : found))
    case 'bad-links':
      return Object.keys(fault.change).map(field => found => (found.kind === 'bad-links' ? mend(found, field) : found))
    default:
      return [plain]
  }
}

function plain(fault: Fault): Fault {
  switch (fault.kind) {
    case 'power-cut':
      return { ...fault, torn: false }
    case 'clock-jump':
      return { ...fault, byMs: Math.sign(fault.byMs) * 1000 }
    case 'eio':
    case 'lost-write':
      return { ...fault, times: 1 }
    case 'bit-rot':
      return { ...fault, bits: 1 }
    default:
      return fault
  }
}

/** This node is with the rest again. */
function rejoin(fault: Extract<Fault, { kind: 'partition' }>, name: string): Fault {
  const groups = fault.groups.map(group => group.filter(member => member !== name)).filter(group => group.length > 0)
  return { ...fault, groups }
}

function mend(fault: Extract<Fault, { kind: 'bad-links' }>, field: string): Fault {
  return { ...fault, change: Object.fromEntries(Object.entries(fault.change).filter(([name]) => name !== field)) }
}

const without = (names: readonly string[], name: string): string[] => names.filter(other => other !== name)
