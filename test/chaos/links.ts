/** One-way cuts between hosts: what arrives from some is dropped (nftables). */
import type { ChaosNode } from './chaos-node.ts'

/** From now on nothing that these other nodes send arrives at this one; what it sends leaves. */
export function deafen(node: ChaosNode, to: ChaosNode[]): void {
  const others = to.filter(other => other !== node).map(({ host }) => host.address)
  node.run('nft', 'add table ip chaos; add chain ip chaos in { type filter hook input priority 0; policy accept; }')
  node.run('nft', `add rule ip chaos in ip saddr { ${others.join(', ')} } drop`)
}

export function hear(node: ChaosNode): void {
  node.run('nft', 'delete table ip chaos')
}
