/** Five nodes become eight, one of them dies for good, two leave: under load all the while. */
import { rmSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { Ballast } from './ballast.ts'
import type { Fault, Tools } from './faults.ts'
import type { Site, SiteInit } from './site.ts'
import { Steps } from './steps.ts'

/** Short, so that the run is; longer than a busy machine keeps a node silent. */
const RECLAIM_AFTER_S = 20
const QUIET_MS = 10_000
const BALLAST = { bytes: 20e6, minBytes: 512, maxBytes: 1536 }

export class Grow implements Fault {
  readonly name = 'grow and shrink'
  readonly site: SiteInit = { nodes: 5, options: () => ['--reclaim-after', `${RECLAIM_AFTER_S}`] }
  readonly #ballast = new Ballast(BALLAST)
  #steps: Steps | undefined

  async prepare(site: Site): Promise<void> {
    await this.#ballast.fill(site)
  }

  async run(site: Site, { pause, load }: Tools): Promise<void> {
    await pause(QUIET_MS)
    const steps = new Steps(site, load, QUIET_MS)
    this.#steps = steps
    await steps.take('three join at once', async () => {
      await site.add(3)
    })
    const dead = site.nodes[3]!
    const dies = async () => {
      await dead.end('SIGKILL')
      rmSync(dead.dir, { recursive: true })
      await site.forget(dead)
    }
    // A share is kept for a dead node until it is removed: so the others need not be quite even before.
    await steps.take(`one dies, taken over after ${RECLAIM_AFTER_S} s`, dies, 2)
    await steps.take('the dead one is removed', () => site.watchers[0]!.manage('remove', { peerId: dead.peerId }))
    await steps.take('two leave at once', async () => {
      // One of the first, and one that has come later.
      const leavers = [site.nodes[1]!, site.nodes.at(-1)!]
      await Promise.all(leavers.map(node => node.leave()))
      for (const node of leavers) await site.forget(node)
    })
  }

  async check(site: Site): Promise<string> {
    assert.equal(await this.#ballast.missing(site), [])
    return `all ${this.#ballast.keys} keys that were written before are there`
  }

  report(): string {
    return this.#steps?.table() ?? ''
  }
}
