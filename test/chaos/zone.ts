/** Six nodes in three zones: all nodes of one zone die at once, and return. */
import type { Fault, Tools } from './faults.ts'
import type { Site } from './site.ts'

const ZONES = ['attic', 'cellar', 'shed']
/** Longer than it takes until the others take them for down. */
const DOWN_MS = 25_000

export const ZONE: Fault = {
  name: 'a whole zone dies',
  site: { nodes: 2 * ZONES.length, options: index => ['--zone', ZONES[index % ZONES.length]!] },
  async run(site: Site, { pause }: Tools) {
    const dead = site.nodes.filter((_, i) => ZONES[i % ZONES.length] === ZONES.at(-1))
    await Promise.all(dead.map(node => node.end('SIGKILL')))
    await pause(DOWN_MS)
    await Promise.all(dead.map(node => node.start()))
  }
}
