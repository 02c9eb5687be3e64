/** Where a node that is not running yet will probably be reached: what an invite carries. */
import { networkInterfaces } from 'node:os'
import { DEFAULT_LISTEN } from '../config.ts'

const LOOPBACK = '127.0.0.1'

/** IPv4 addresses of this machine that others may reach. */
export function localHosts(): string[] {
  return Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .filter(one => one.family === 'IPv4' && !one.internal)
    .map(one => one.address)
}

/**
 * Full addresses for `listen`: what is announced if anything is; every host for a wildcard, loopback last; nothing for a
 * port that is picked at start. Pure.
 */
export function plausibleAddresses(
  { listen = [DEFAULT_LISTEN], announce = [] }: { listen?: string[]; announce?: string[] },
  peerId: string,
  hosts: string[]
): string[] {
  const source = announce.length > 0 ? announce : listen
  const spread = source.flatMap(one => {
    if (one.endsWith('/tcp/0')) return []
    if (!one.startsWith('/ip4/0.0.0.0/')) return [one]
    return [...hosts, LOOPBACK].map(host => one.replace('0.0.0.0', host))
  })
  return [...new Set(spread.map(one => withPeer(one, peerId)))]
}

/** The address with `/p2p/…` at its end. */
export function withPeer(address: string, peerId: string): string {
  return address.includes('/p2p/') ? address : `${address}/p2p/${peerId}`
}
