/**
 * `node wait-settled.ts SECRET_FILE ADDRESS…`: ends with 0 once the nodes at these addresses have come to rest as one
 * cluster. Runs on a host of the LAN, in place of a command polled again and again: a process costs more than the wait.
 */
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { connect } from '../../src/client/client.ts'
import { settled } from '../process/settled.ts'

const SETTLE_MS = 20_000

const [secretFile, ...addresses] = process.argv.slice(2)
const secret = await readFile(secretFile!, 'utf8')
const clients = await Promise.all(addresses.map(address => connect({ seeds: [address], secret })))
await settled(clients, SETTLE_MS)
await Promise.all(clients.map(client => client.close()))
