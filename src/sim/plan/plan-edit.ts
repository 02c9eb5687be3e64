/** A plan with less in it: without some of its nodes and all that names them, or with the rest of it made to fit. */
import type { Fault, Operation, Plan } from './plan.ts'
import { endBy, lastStartMs } from './plan-times.ts'

/** Only the nodes that are kept, in their order; the first of them founds. At least one is kept. */
export function keepNodes(plan: Plan, isKept: (name: string) => boolean): Plan {
  const kept = plan.nodes.filter(node => isKept(node.name))
  const nodes = kept.map((node, index) => (index === 0 ? { ...node, joinAtMs: 0 } : node))
  const names = new Set(nodes.map(node => node.name))
  const viaOf = plan.nodes.map((_, via) => nextKept(plan, names, via))
  return {
    ...plan,
    nodes,
    operations: plan.operations.map(operation => ({ ...operation, via: viaOf[operation.via] })),
    faults: plan.faults.flatMap(fault => keepFault(fault, names))
  }
}

/** Where the client of a removed node ends up: at the next one, as when it does not answer. */
function nextKept({ nodes }: Plan, names: ReadonlySet<string>, via: number): number {
  const kept = nodes.map(node => node.name).filter(name => names.has(name))
  for (let step = 0; step < nodes.length; step++) {
    const { name } = nodes[(via + step) % nodes.length]
    if (names.has(name)) return kept.indexOf(name)
  }
  return 0
}

/** What is left of a fault among these nodes: itself, less of it, or none. */
function keepFault(fault: Fault, names: ReadonlySet<string>): Fault[] {
  switch (fault.kind) {
    case 'partition': {
      const groups = fault.groups.map(group => group.filter(name => names.has(name))).filter(group => group.length > 0)
      const partsSomebody = groups.length > 1 || (groups.length === 1 && groups[0].length < names.size)
      return partsSomebody ? [{ ...fault, groups }] : []
    }
    case 'swizzle': {
      const nodes = fault.nodes.filter(name => names.has(name))
      return nodes.length > 0 && names.size > 1 ? [{ ...fault, nodes }] : []
    }
    case 'one-way':
      return names.has(fault.from) && names.has(fault.to) ? [fault] : []
    case 'forge':
    case 'replay-record':
      return names.has(fault.from) && names.has(fault.victim) ? [fault] : []
    default:
      return names.has(fault.node) ? [fault] : []
  }
}

/** Healed `pauseMs` after the last thing has begun, if that is earlier than now. */
export function healEarlier(plan: Plan, pauseMs: number): Plan {
  const healAtMs = Math.min(plan.healAtMs, lastStartMs(plan) + pauseMs)
  return { ...plan, healAtMs, faults: endBy(plan.faults, healAtMs) }
}

/** With these parameters, and no operation that asks for more copies than there are. */
export function withParams(plan: Plan, params: Plan['params']): Plan {
  const capped = (operation: Operation): Operation => ({
    ...operation,
    ...(operation.r !== undefined && { r: Math.min(operation.r, params.n) }),
    ...(operation.w !== undefined && { w: Math.min(operation.w, params.n) })
  })
  return { ...plan, params, operations: plan.operations.map(capped) }
}
