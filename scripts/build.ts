/** Emits `dist/` for npm: JavaScript and declarations, with the `.proto` files beside them. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
rmSync(dist, { recursive: true, force: true })
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
const protos = join(root, 'src', 'wire')
for (const name of readdirSync(protos).filter(name => name.endsWith('.proto')))
  cpSync(join(protos, name), join(dist, 'src', 'wire', name))
chmodSync(join(dist, 'bin', 'coterie.js'), 0o755)
