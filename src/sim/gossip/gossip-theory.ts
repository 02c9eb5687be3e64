/** What gossip and failure detection should take, in theory: the figures that the measured ones are held against. */
import { deviationFloorMs, phi } from '../../membership/phi.ts'

/**
 * Mean rounds until all know, in theory: push and pull with one random partner a node and round, at moments that are
 * independent. With k of S informed, the next one is after 1 / rate, rate = 2k(S − k) / (S − 1); the sum over k is
 * (S − 1) / S · H(S − 1) ≈ ln S + 0.58.
 */
export function spreadRounds(nodes: number): number {
  let harmonic = 0
  for (let k = 1; k < nodes; k++) harmonic += 1 / k
  return ((nodes - 1) / nodes) * harmonic
}

/**
 * When phi of a silence reaches the threshold, if heartbeats came every interval with the least deviation that the
 * detector reckons with, counted from the last one heard.
 */
export function detectionMs(nodes: number, intervalMs: number, phiThreshold: number): number {
  const floorMs = deviationFloorMs(intervalMs, nodes)
  let silenceMs = intervalMs
  while (phi(silenceMs, intervalMs, floorMs) < phiThreshold) silenceMs += 10
  return silenceMs
}
