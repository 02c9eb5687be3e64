/** Packs the project, installs the tarball into an empty directory, and uses it there: the binary and the library. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const place = mkdtempSync(join(tmpdir(), 'coterie-pack-'))
// The Node that runs this comes first, for npm's scripts and the binary's `#!` line alike.
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }

function must(command: string, args: string[], cwd: string, input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env,
    input,
    encoding: 'utf8',
    timeout: 300_000
  })
  if (status === 0) return stdout
  console.error(stdout, stderr, error ?? '')
  throw new Error(`${command} ${args.join(' ')} ended with ${status}`)
}

const LIBRARY = `
  import { connect, createNode, CoterieError } from 'coterie'
  import { existsSync } from 'node:fs'
  const node = await createNode({ dir: 'data', listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
  await node.ready()
  await node.put('cart', 'one apple')
  const { values } = await node.get('cart')
  await node.close()
  if (Buffer.from(values[0]).toString() !== 'one apple' || !existsSync('data/ranges')) throw new Error('wrong value')
  if (typeof connect !== 'function' || typeof CoterieError !== 'function') throw new Error('an export is missing')
  console.log('library ok')
`

try {
  const packed = JSON.parse(must('npm', ['pack', '--json', '--pack-destination', place], root)) as
    | { filename: string }[]
    | Record<string, { filename: string }>
  const [{ filename }] = Object.values(packed)
  writeFileSync(join(place, 'package.json'), '{ "private": true, "type": "module" }')
  must('npm', ['install', '--no-audit', '--no-fund', join(place, filename)], place)
  const version = must(join(place, 'node_modules', '.bin', 'coterie'), ['--version'], place)
  const init = JSON.parse(
    must(join(place, 'node_modules', '.bin', 'coterie'), ['init', '--dir', 'data', '--json'], place)
  ) as { invite: string }
  writeFileSync(join(place, 'use.js'), LIBRARY)
  const library = must(process.execPath, ['use.js'], place)
  const demo = must(join(place, 'node_modules', '.bin', 'coterie'), ['demo', '--nodes', '3'], place, 'put a 1\nget a\n')
  if (!init.invite.startsWith('coterie1') || !library.includes('library ok') || !/\b1\b/.test(demo))
    throw new Error(`unexpected output:\n${init.invite}\n${library}\n${demo}`)
  console.log(`the package ${filename} (version ${version.trim()}) installs, and its binary, demo and library work`)
} finally {
  rmSync(place, { recursive: true, force: true })
}
