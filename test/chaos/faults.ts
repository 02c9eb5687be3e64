/** What is done to the cluster, one after another, and how it is undone. The victim is the last node but for what needs others. */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { ChaosNode } from './chaos-node.ts'
import { Halves } from './halves.ts'
import { deafen, hear } from './links.ts'
import type { Load, LoadInit } from './load.ts'
import type { Site, SiteInit } from './site.ts'

export interface Fault {
  name: string
  /** Resolves when the fault is over. */
  run(site: Site, tools: Tools): Promise<void>
  /** A cluster of its own; without, it shares one with the others. */
  site?: SiteInit
  /** Before there is load. */
  prepare?(site: Site): Promise<void>
  /** Once all replicas are identical again: what was found, in words. */
  check?(site: Site): Promise<string>
  /** Tables of its own, for below that of all faults. */
  report?(): string
  load?: Omit<LoadInit, 'perSecond'>
}

export interface Tools {
  pause: (ms: number) => Promise<void>
  /** Pulls a host's cable, or puts it in again. */
  cable: (host: number, plugged: boolean) => Promise<void>
  load: Load
}

const DOWN_MS = 8000
const PAUSE_MS = 15_000
const CUT_MS = 10_000
const STALL_MS = 10_000
const FULL_MS = 10_000
const DAMAGES_A_FILE = 3
const RECOVERY_MS = 60_000

const victim = (site: Site): ChaosNode => site.nodes.at(-1)!

/** The cluster that they share. */
export const FIVE: SiteInit = { nodes: 5, diskMib: 256 }

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
      deafen(victim(site), site.nodes)
      await pause(CUT_MS)
      hear(victim(site))
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
      await site.disk!.freeze()
      await pause(STALL_MS)
      await site.disk!.thaw()
    }
  },
  {
    name: 'disk full',
    async run(site, { pause }) {
      await site.disk!.fillUp()
      await pause(FULL_MS)
      site.disk!.makeRoom()
    }
  },
  {
    name: 'rolling restart',
    // As docs/operations.md says: one after the other, each when the one before has what it missed.
    async run(site) {
      for (const node of site.nodes) {
        await node.end('SIGTERM')
        await node.start()
        await site.recovered(RECOVERY_MS)
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
  },
  {
    name: 'ranges removed',
    async run(site) {
      await victim(site).end('SIGKILL')
      rmSync(join(victim(site).dir, 'ranges'), { recursive: true })
      await victim(site).start()
    }
  },
  {
    name: 'range files damaged',
    async run(site) {
      await victim(site).end('SIGKILL')
      const dir = join(victim(site).dir, 'ranges')
      for (const name of readdirSync(dir).filter(file => file.endsWith('.log'))) {
        const path = join(dir, name)
        const fd = openSync(path, 'r+')
        for (let i = 0; i < DAMAGES_A_FILE; i++) {
          writeSync(fd, randomBytes(16), 0, 16, Math.floor(Math.random() * statSync(path).size))
        }
        closeSync(fd)
      }
      await victim(site).start()
    }
  },
  new Halves()
]
