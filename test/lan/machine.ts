/** A host of the LAN with a data directory, the node that runs there, and the coterie command as its user types it. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { LanHost } from './lan.ts'
import { type NodeProcess, type Outcome, run, runScript, startNode } from './processes.ts'

const WAIT_SETTLED = join(import.meta.dirname, 'wait-settled.ts')

export class Machine {
  readonly host: LanHost
  readonly dir: string
  #node?: NodeProcess

  constructor(host: LanHost, dir: string) {
    this.host = host
    this.dir = dir
  }

  /** Where a node on the default port is reached from the other hosts. */
  get address(): string {
    return `/ip4/${this.host.address}/tcp/4270`
  }

  get log(): string {
    return this.#node?.log() ?? 'no node was ready here'
  }

  /** `node` or `join`; resolves when it is ready. */
  async start(...args: string[]): Promise<void> {
    this.#node = await startNode(this.host, [...args, '--dir', this.dir])
  }

  /** Stops the node; resolves with its exit code. */
  async stop(): Promise<number | null | undefined> {
    return this.#node?.stop()
  }

  coterie(...args: string[]): Promise<Outcome> {
    return run(this.host, [...args, '--dir', this.dir])
  }

  /** A command that must succeed; its standard output. */
  async must(...args: string[]): Promise<string> {
    const { code, out, err } = await this.coterie(...args)
    assert.is(code, 0, `${args.join(' ')} on ${this.host.address}: ${err}`)
    return out
  }

  /** Lines for the REPL, one client for all of them. What they print, without the facts in dim lines of their own. */
  async script(lines: string[]): Promise<string[]> {
    const { code, out, err } = await run(this.host, ['repl', '--dir', this.dir], `${lines.join('\n')}\n`)
    assert.is(code, 0, `${lines.join('; ')} on ${this.host.address}: ${out}${err}`)
    return out.split('\n').filter(line => line !== '' && !line.startsWith('dot '))
  }

  /** Waits until these machines are one cluster that has come to rest, asked from this one. */
  async settled(machines: Machine[]): Promise<void> {
    const args = [join(this.dir, 'secret'), ...machines.map(({ address }) => address)]
    const { code, err } = await runScript(this.host, WAIT_SETTLED, args)
    assert.is(code, 0, err)
  }
}
