/** What an error of the operating system says, wherever it comes from. */
const DISK_FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'unknown error'
}

export function isDiskFull(error: unknown): boolean {
  return DISK_FULL.includes(codeOf(error))
}
