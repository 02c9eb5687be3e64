/** The rules of the house (docs/architecture.md), so that they stay true: who may import whom, and who touches what. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const ROOT = join(import.meta.dirname, '..')
const test = suite('house')

interface Module {
  path: string
  text: string
  /** Without comments, strings kept. */
  code: string
  imports: string[]
}

function modules(): Module[] {
  const files = ['src', 'bin'].flatMap(top =>
    readdirSync(join(ROOT, top), { recursive: true, withFileTypes: true }).map(entry => ({
      entry,
      path: relative(ROOT, join(entry.parentPath, entry.name))
    }))
  )
  return files
    .filter(({ entry, path }) => entry.isFile() && path.endsWith('.ts'))
    .map(({ path }) => {
      const text = readFileSync(join(ROOT, path), 'utf8')
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
      const imports = [...code.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name]) =>
        name.startsWith('.') ? relative(ROOT, join(ROOT, dirname(path), name)) : name
      )
      return { path, text, code, imports }
    })
}

const folderOf = (path: string): string => /^src\/([^/]+)\//.exec(path)?.[1] ?? ''

/** Which neighbours a folder may import; files at the top of `src` are open to all but those in COMPOSITION. */
const MAY_IMPORT: Record<string, string[]> = {
  version: [],
  ring: [],
  storage: [],
  membership: [],
  replica: ['version', 'ring', 'storage'],
  coordinator: ['replica', 'ring', 'version'],
  repair: ['coordinator', 'replica', 'ring', 'version'],
  wire: ['ring', 'version'],
  client: ['wire', 'ring', 'version'],
  sim: ['wire', 'ring', 'version', 'membership', 'client'],
  cli: ['storage', 'wire', 'ring', 'version', 'client', 'repair', 'sim']
}
/** What is built out of the folders: nothing below may look up to it. */
const COMPOSITION = ['src/core.ts', 'src/node.ts', 'src/service.ts', 'src/index.ts', 'src/info.ts', 'src/dispatch.ts']
const PURE = ['version', 'ring']

test('imports go downwards', () => {
  const offences: string[] = []
  for (const { path, imports } of modules()) {
    const folder = folderOf(path)
    if (folder === '') continue
    for (const name of imports.filter(name => name.startsWith('src/'))) {
      const other = folderOf(name)
      if (other !== '' && other !== folder && !(MAY_IMPORT[folder] ?? []).includes(other))
        offences.push(`${path} imports ${name}`)
      const mayCompose = folder === 'cli' || (folder === 'sim' && name === 'src/core.ts')
      if (COMPOSITION.includes(name) && !mayCompose) offences.push(`${path} looks up to ${name}`)
    }
  }
  assert.equal(offences, [])
})

test('only wire, client, node.ts and service.ts import libp2p packages', () => {
  const offences = modules()
    .filter(
      ({ path }) => !['wire', 'client'].includes(folderOf(path)) && !['src/node.ts', 'src/service.ts'].includes(path)
    )
    .flatMap(({ path, imports }) =>
      imports
        .filter(name => /^(libp2p|@libp2p|@chainsafe|@multiformats)/.test(name))
        .map(name => `${path} imports ${name}`)
    )
  assert.equal(offences, [])
})

test('only runtime.ts reads clocks, timers and chance', () => {
  const impure =
    /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|process\.nextTick|queueMicrotask|randomBytes|randomUUID)\b/
  // Outside the core: the data directory's lock and key material are made before a node exists.
  // The simulator's sentry names what it forbids, and its world runs on Node's own turns. An I/O thread times itself.
  const free = [
    'src/runtime.ts',
    'src/directory.ts',
    'src/sim/sentry.ts',
    'src/sim/world/world.ts',
    'src/storage/disk/io-worker.ts'
  ]
  const offences = modules()
    .filter(({ path }) => path.startsWith('src/') && !free.includes(path))
    .flatMap(({ path, code }) => (impure.test(code) ? [`${path}: ${impure.exec(code)![0]}`] : []))
  assert.equal(offences, [])
})

test('only bin, cli, runtime.ts and directory.ts touch the process', () => {
  const offences = modules()
    .filter(
      ({ path }) =>
        path.startsWith('src/') &&
        folderOf(path) !== 'cli' &&
        !['src/runtime.ts', 'src/directory.ts', 'src/sim/sentry.ts'].includes(path)
    )
    .filter(
      // In the simulator a variable of that name is a simulated one.
      ({ path, code, imports }) =>
        (folderOf(path) === 'sim'
          ? /(?<![.#\w/])process\.(on|off|exit|env|argv|std|next|hr|cwd)/
          : /\bprocess\.\w/
        ).test(code) ||
        imports.includes('node:process') ||
        imports.includes('node:child_process')
    )
    .map(({ path }) => path)
  assert.equal(offences, [])
})

test('files reach the core through the FileIo port only', () => {
  const free = [
    ...['io-thread', 'io-worker', 'libuv', 'node-files', 'open-file'].map(name => `src/storage/disk/${name}.ts`),
    'src/directory.ts',
    'src/sim/sentry.ts'
  ]
  const offences = modules()
    .filter(({ path }) => path.startsWith('src/') && folderOf(path) !== 'cli')
    .filter(
      ({ path, imports }) =>
        imports.some(name => /^node:(fs|timers|async_hooks|worker)/.test(name)) && !free.includes(path)
    )
    .map(({ path }) => path)
  assert.equal(offences, [])
})

test('nothing that the simulator runs depends on chance, on the collector or on the locale', () => {
  const unsteady = /\b(WeakRef|FinalizationRegistry|localeCompare|AbortSignal\.timeout|toLocale\w+)\b/
  const offences = modules()
    .filter(({ path }) => path.startsWith('src/') && !['cli', 'wire'].includes(folderOf(path)))
    .filter(({ path }) => path !== 'src/sim/sentry.ts')
    .flatMap(({ path, code }) => (unsteady.test(code) ? [`${path}: ${unsteady.exec(code)![0]}`] : []))
  assert.equal(offences, [])
})

test('the simulator has no clock, chance or log of the real world', () => {
  const offences = modules()
    .filter(({ path, imports }) => folderOf(path) === 'sim' && imports.includes('src/runtime.ts'))
    .map(({ path }) => path)
  assert.equal(offences, [])
})

test('version and ring are pure: no promise, no port but types', () => {
  const offences = modules()
    .filter(({ path }) => PURE.includes(folderOf(path)))
    .filter(({ code }) => /\b(async|await|Promise)\b/.test(code))
    .map(({ path }) => path)
  assert.equal(offences, [])
})

test('no file is longer than 400 lines, and each says what it is for', () => {
  const offences = modules().flatMap(({ path, text }) => {
    const lines = text.split('\n').length
    const says = /^(#!.*\n)?(\/\/|\/\*)/.test(text)
    return [
      ...(lines > 400 ? [`${path} has ${lines} lines`] : []),
      ...(says ? [] : [`${path} does not say what it is for`])
    ]
  })
  assert.equal(offences, [])
})

test.run()
