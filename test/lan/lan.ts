/**
 * Real hosts on one machine: network namespaces, each with an address, a loopback and a port 4270 of its own, joined by a
 * bridge. The bridge lives in a namespace too, so nothing shows up in the machine's own network: whatever addresses and
 * firewall rules it has, they neither help nor hinder. Needs root and iproute2.
 */
import { spawnSync } from 'node:child_process'
import process from 'node:process'

export interface LanHost {
  address: string
  /** The words before a command that runs on this host. */
  inside: string[]
  /** Pulls the network cable out: its interface stays, with the address, and loses the carrier. */
  unplug(): void
  plug(): void
}

export interface Lan {
  hosts: LanHost[]
  /** Once no process runs on the hosts any more. Safe to call again. */
  remove(): void
}

const COMMAND_TIMEOUT_MS = 10_000
let made = 0

/** Why this machine cannot have a LAN; undefined when it can. */
export function whyNoLan(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  let lan: Lan | undefined
  try {
    lan = makeLan(1)
    const [program, ...args] = lan.hosts[0]!.inside
    command(program!, [...args, 'true'])
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    lan?.remove()
  }
}

/** `count` hosts on one switch, x.1 to x.count. Leaves nothing behind when it throws. */
export function makeLan(count: number): Lan {
  const name = `coterie-${process.pid}-${++made}`
  const subnet = `10.77.${process.pid % 256}`
  const spaces: string[] = []
  const space = (suffix: string) => {
    const added = `${name}-${suffix}`
    ip('netns', 'add', added)
    spaces.push(added)
    return added
  }
  const remove = () => {
    process.off('exit', remove)
    for (const added of spaces.splice(0)) spawnSync('ip', ['netns', 'del', added])
  }
  // A failed assertion cleans up in its `finally`; this is for a process that is told to stop in the middle.
  process.once('exit', remove)
  try {
    const hub = space('switch')
    // Snooping would forget who listens to the multicast group when a cable is pulled.
    ip('-n', hub, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0')
    ip('-n', hub, 'link', 'set', 'br0', 'up')
    const hosts = Array.from({ length: count }, (_, i) =>
      addHost(hub, space(`host${i + 1}`), `port${i + 1}`, `${subnet}.${i + 1}`)
    )
    return { hosts, remove }
  } catch (error) {
    remove()
    throw error
  }
}

function addHost(hub: string, space: string, port: string, address: string): LanHost {
  ip('link', 'add', 'eth0', 'netns', space, 'type', 'veth', 'peer', 'name', port, 'netns', hub)
  ip('-n', hub, 'link', 'set', port, 'master', 'br0', 'up')
  ip('-n', space, 'address', 'add', `${address}/24`, 'dev', 'eth0')
  ip('-n', space, 'link', 'set', 'lo', 'up')
  ip('-n', space, 'link', 'set', 'eth0', 'up')
  // Where multicast leaves a host that has no default route.
  ip('-n', space, 'route', 'add', '224.0.0.0/4', 'dev', 'eth0')
  return {
    address,
    inside: ['ip', 'netns', 'exec', space],
    unplug: () => ip('-n', hub, 'link', 'set', port, 'down'),
    plug: () => ip('-n', hub, 'link', 'set', port, 'up')
  }
}

const ip = (...args: string[]): void => command('ip', args)

function command(program: string, args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS })
  if (status === 0) return
  throw new Error(`${[program, ...args].join(' ')}: ${error?.message ?? stderr.trim()}`)
}
