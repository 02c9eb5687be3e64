/** What is done to the cluster, one after another, and how it is undone. The victim is the last node but for what needs others. */
import type { LoadInit } from './load.ts'
import type { ChaosNode, Site } from './site.ts'

export interface Fault {
  name: string
  /** Resolves when the fault is over. */
  run(site: Site, tools: Tools): Promise<void>
  load?: Omit<LoadInit, 'perSecond'>
}

export interface Tools {
  pause: (ms: number) => Promise<void>
  /** Pulls a host's cable, or puts it in again. */
  cable: (host: number, plugged: boolean) => Promise<void>
}

const DOWN_MS = 8000
const PAUSE_MS = 15_000
const CUT_MS = 10_000
const STALL_MS = 10_000
const FULL_MS = 10_000

const victim = (site: Site): ChaosNode => site.nodes.at(-1)!

/** From now on nothing that the other nodes send arrives at this one; what it sends leaves. */
function deafen(site: Site, node: ChaosNode): void {
  const others = site.nodes.filter(other => other !== node).map(({ host }) => host.address)
  node.run('nft', 'add table ip chaos; add chain ip chaos in { type filter hook input priority 0; policy accept; }')
  node.run('nft', `add rule ip chaos in ip saddr { ${others.join(', ')} } drop`)
}

export const FAULTS: Fault[] = [
  {
    name: 'kill -9',
    async run(site, { pause }) {
      await victim(site).end('SIGKILL')
      await pause(DOWN_MS)
      await victim(site).start()
    }
  },
  {
    name: 'SIGSTOP for 15 s',
    async run(site, { pause }) {
      victim(site).signal('SIGSTOP')
      await pause(PAUSE_MS)
      victim(site).signal('SIGCONT')
    }
  },
  {
    name: 'one-way partition',
    async run(site, { pause }) {
      deafen(site, victim(site))
      await pause(CUT_MS)
      victim(site).run('nft', 'delete table ip chaos')
    }
  },
  {
    name: 'full partition',
    async run(site, { pause, cable }) {
      await cable(site.nodes.length - 1, false)
      await pause(CUT_MS)
      await cable(site.nodes.length - 1, true)
    }
  },
  {
    name: 'disk stalls 10 s',
    async run(site, { pause }) {
      await site.disk.freeze()
      await pause(STALL_MS)
      await site.disk.thaw()
    }
  },
  {
    name: 'disk full',
    async run(site, { pause }) {
      await site.disk.fillUp()
      await pause(FULL_MS)
      site.disk.makeRoom()
    }
  },
  {
    name: 'rolling restart',
    async run(site) {
      for (const node of site.nodes) {
        await node.end('SIGTERM')
        await node.start()
      }
    }
  },
  {
    name: 'two of five dead, r = w = 1',
    load: { r: 1, w: 1 },
    async run(site, { pause }) {
      const dead = site.nodes.slice(-2)
      await Promise.all(dead.map(node => node.end('SIGKILL')))
      await pause(DOWN_MS)
      await Promise.all(dead.map(node => node.start()))
    }
  }
]
