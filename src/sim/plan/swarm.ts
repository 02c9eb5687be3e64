/**
 * A plan from a seed: the same seed, scenario and number of nodes give the same plan everywhere.
 *
 * @example
 *   const plan = drawPlan('42')
 *   const small = drawPlan('42', { scenario: 'join', nodes: 5 })
 */
import { CoterieError } from '../../errors.ts'
import type { Plan } from './plan.ts'
import { SCENARIOS } from './scenarios.ts'

/** More would take hours of real time in a run that does more than gossip. */
const MAX_NODES = 100

/** `nodes`: all of them, joiners too; drawn by default. Throws `bad-usage` for a scenario or size that there is not. */
export function drawPlan(seed: string, options: { nodes?: number; scenario?: string } = {}): Plan {
  const { nodes, scenario: name = 'swarm' } = options
  const scenario = SCENARIOS.find(scenario => scenario.name === name)
  if (scenario === undefined) {
    const names = SCENARIOS.map(({ name }) => name).join(', ')
    throw new CoterieError('bad-usage', `no scenario is called "${name}"; there are ${names}`)
  }
  if (nodes !== undefined && (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES)) {
    throw new CoterieError('bad-usage', `nodes is ${nodes}; it takes a whole number from 1 to ${MAX_NODES}`)
  }
  return scenario.draw(seed, { nodes })
}
