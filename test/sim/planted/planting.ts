/**
 * Plants a bug into this process: the text of one source file is changed as Node loads it, so that no code under test
 * knows of any of this. Imports nothing of `src`, and has to come before everything that does.
 *
 * @example
 *   const planted = plant('context-ignored')
 *   const { runSeed } = await import('../../../src/sim/run.ts')
 *   planted.mustBeLoaded()
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Bug } from './bug.ts'
import { BUGS } from './bugs.ts'

export const ROOT = join(import.meta.dirname, '..', '..', '..')

export interface Planted {
  bug: Bug
  /** Throws unless the changed file was loaded: a bug that is not there proves nothing. */
  mustBeLoaded(): void
}

/** Throws, naming the bugs that there are, for another name. */
export function bugNamed(name: string): Bug {
  const bug = BUGS.find(bug => bug.name === name)
  if (bug === undefined)
    throw new Error(`no bug is called "${name}"; there are ${BUGS.map(({ name }) => name).join(', ')}`)
  return bug
}

/** The source with the bug in it. Throws, naming the bug, unless `find` occurs exactly once. */
export function withBug({ name, file, find, replace }: Bug, source: string): string {
  const count = source.split(find).length - 1
  if (count !== 1) {
    throw new Error(`the bug "${name}" cannot be planted: its line occurs ${count} times in ${file}, not once: ${find}`)
  }
  // A function, because `$` means something in a replacement text.
  return source.replace(find, () => replace)
}

/** The changed text of the bug's file. */
export function buggySource(bug: Bug): string {
  return withBug(bug, readFileSync(join(ROOT, bug.file), 'utf8'))
}

/** From now on this process loads the bug's file with the bug in it. */
export function plant(name: string): Planted {
  const bug = bugNamed(name)
  const source = buggySource(bug)
  const fileUrl = pathToFileURL(join(ROOT, bug.file)).href
  let loaded = false
  registerHooks({
    load(url, context, nextLoad) {
      const result = nextLoad(url, context)
      if (url !== fileUrl) return result
      loaded = true
      return { ...result, source }
    }
  })
  return {
    bug,
    mustBeLoaded() {
      if (!loaded) throw new Error(`the bug "${name}" was not planted: ${bug.file} was loaded before, or not at all`)
    }
  }
}
