/** Two halves of the cluster take writes to the same keys for a minute: afterwards both sides' last are there, as siblings. */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import * as assert from 'uvu/assert'
import { BIN } from '../support/processes.ts'
import type { Fault, Tools } from './faults.ts'
import { deafen, hear } from './links.ts'
import type { Site } from './site.ts'

const APART_MS = 60_000
const ROUND_MS = 1000
const KEYS = Array.from({ length: 50 }, (_, i) => `halves-${i}`)

/** What a person sees in the REPL of a node. */
function replOf(site: Site, lines: string[]): string {
  const { host, dir } = site.nodes[0]!
  const [program, ...before] = [...host.inside, process.execPath, BIN, 'repl', '--dir', dir]
  const { stdout, stderr, status } = spawnSync(program!, before, { input: `${lines.join('\n')}\n`, encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return stdout
}

export class Halves implements Fault {
  readonly name = 'two halves for a minute'
  #rounds = 0

  async run(site: Site, { pause }: Tools): Promise<void> {
    const left = site.nodes.slice(0, 2)
    const right = site.nodes.slice(2)
    for (const node of left) deafen(node, right)
    for (const node of right) deafen(node, left)
    const sides = [site.watchers[0]!, site.watchers[2]!].map(client => ({
      client,
      contexts: new Map<string, string>()
    }))
    for (const endMs = performance.now() + APART_MS; performance.now() < endMs; this.#rounds++) {
      for (const key of KEYS) {
        const puts = sides.map(async ({ client, contexts }, side) => {
          const { context } = await client.put(key, this.#value(side), { context: contexts.get(key) })
          contexts.set(key, context)
        })
        await Promise.all(puts)
      }
      await pause(ROUND_MS)
    }
    for (const node of site.nodes) hear(node)
  }

  async check(site: Site): Promise<string> {
    this.#rounds--
    for (const key of KEYS) {
      const { values } = await site.watchers[4]!.get(key, { r: 'all' })
      const found = values.map(value => Buffer.from(value).toString()).sort()
      assert.equal(found, [this.#value(0), this.#value(1)], key)
    }
    return [
      `${this.#rounds + 1} rounds of ${KEYS.length} keys written on both sides; each holds the last of both, as siblings`,
      replOf(site, [`get ${KEYS[0]}`, `get ${KEYS[0]} --latest`, `put ${KEYS[0]} merged`, `get ${KEYS[0]}`])
    ].join('\n')
  }

  #value(side: number): string {
    return `${side === 0 ? 'left' : 'right'} ${this.#rounds}`
  }
}
