/** What to do when the system refuses a file: a matter of the machine, not of coterie. */
const ADVICE: Record<string, string> = {
  EROFS: 'that file system is mounted read-only: remount it, or use a directory on another',
  EACCES: 'this user may not: look at the owner and the mode of that path',
  EPERM: 'this user may not: look at the owner and the mode of that path',
  ENOSPC: 'no room is left there: free some',
  EDQUOT: 'the quota of this user is used up: free some room',
  EMFILE: 'this process may have no more files open: raise ulimit -n',
  ENFILE: 'the system has no more files to open: raise fs.file-max',
  ENOTDIR: 'a part of that path is a file where a directory has to be',
  EIO: 'the disk fails: see the log of the system'
}

/** Undefined: not an error of the system about a path, or none that whoever runs the command can do something about. */
export function systemAdvice(error: unknown): string | undefined {
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  if (typeof syscall !== 'string' || typeof code !== 'string') return undefined
  return Object.hasOwn(ADVICE, code) ? ADVICE[code] : undefined
}
