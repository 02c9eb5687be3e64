/** Real files with something done first: to count what storage asks of a disk, or to make a disk hang. */
import type { FileHandle, FileIo } from '../../../src/ports.ts'
import { nodeFiles } from '../../../src/storage/disk/node-files.ts'

export type Operation = 'read' | 'write' | 'sync'

const INTERCEPTED: readonly PropertyKey[] = ['read', 'write', 'sync'] satisfies Operation[]

/** `before` may answer with a promise: the operation waits for it. */
export function interceptedFiles(before: (operation: Operation, path: string) => Promise<void> | undefined): FileIo {
  return {
    ...nodeFiles,
    open: async (path, mode) => intercepted(await nodeFiles.open(path, mode), operation => before(operation, path))
  }
}

/** A proxy, so that whatever else a handle can do stays as it is. */
function intercepted(handle: FileHandle, before: (operation: Operation) => Promise<void> | undefined): FileHandle {
  const methods = new Map<PropertyKey, unknown>()
  const method = (name: PropertyKey): unknown => {
    const original: unknown = Reflect.get(handle, name)
    if (typeof original !== 'function') return original
    if (!INTERCEPTED.includes(name)) return original.bind(handle)
    return (...args: unknown[]) => {
      const wait = before(name as Operation)
      return wait ? wait.then(() => original.apply(handle, args)) : original.apply(handle, args)
    }
  }
  return new Proxy(handle, {
    get(_, name) {
      const known = methods.get(name)
      if (known !== undefined) return known
      const found = method(name)
      if (typeof found === 'function') methods.set(name, found)
      return found
    }
  })
}

/** Files of ranges are named after them: `0003-…`. */
export function rangeOfFile(path: string): number | undefined {
  const match = /(?:^|\/)(\d+)-[^/]*$/.exec(path)
  return match ? Number(match[1]) : undefined
}
