/**
 * Small disks of a test's own, which really fill up, stall and fail: a tmpfs, or ext4 on a loop device over an image
 * beside its mount point. Needs root, mount and, for ext4, e2fsprogs, fsfreeze and chattr.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

const MIB = 1024 * 1024
const COMMAND_TIMEOUT_MS = 20_000
/** A frozen file system thaws by itself after this long: processes that wait for it cannot be killed, we among them. */
const MAX_FREEZE_S = 30
/**
 * Without a journal, so that what fails is what was written, and not the journal, after which nothing can be written
 * at all; `errors=continue` for the same reason.
 */
const EXT4 = { options: ['-m', '0', '-O', '^has_journal', '-E', 'lazy_itable_init=0'], mount: 'errors=continue' }
const EXT4_JOURNAL = { options: ['-m', '0', '-E', 'lazy_itable_init=0'], mount: 'errors=remount-ro' }

export type DiskKind = 'tmpfs' | 'ext4'

export interface DiskInit {
  kind: DiskKind
  mib: number
  /** Of ext4: with a journal, whose failure makes it read-only. */
  journal?: boolean
}

/** Why this machine cannot have such disks; undefined when it can. */
export function whyNoDisks(...kinds: DiskKind[]): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting disks needs root'
  const root = mkdtempSync(join(tmpdir(), 'coterie-disk-'))
  const disks: RealDisk[] = []
  try {
    for (const kind of kinds) {
      const disk = new RealDisk(join(root, kind), { kind, mib: 8 })
      disks.push(disk)
      if (kind === 'tmpfs') continue
      command('fsfreeze', '--version')
      disk.fail()
      disk.mend()
    }
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    for (const disk of disks) disk.remove()
    rmSync(root, { recursive: true, force: true })
  }
}

export class RealDisk {
  /** Where it is mounted. */
  readonly dir: string
  readonly #image: string
  readonly #ballast: string
  readonly #mountArgs: string[]
  #mounted = false
  #freezing: ChildProcess | undefined

  /** Mounts it on `dir`, which is made. */
  constructor(dir: string, { kind, mib, journal = false }: DiskInit) {
    this.dir = dir
    this.#image = `${dir}.img`
    this.#ballast = join(dir, 'ballast')
    mkdirSync(dir, { recursive: true })
    // For a run that is told to stop in the middle.
    process.once('exit', this.remove)
    if (kind === 'tmpfs') this.#mountArgs = ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', dir]
    else {
      const { options, mount } = journal ? EXT4_JOURNAL : EXT4
      writeFileSync(this.#image, '')
      truncateSync(this.#image, mib * MIB)
      command('mkfs.ext4', '-q', '-F', ...options, this.#image)
      this.#mountArgs = ['-t', 'ext4', '-o', `loop,noatime,${mount}`, this.#image, dir]
    }
    this.mount()
  }

  mount(): void {
    command('mount', ...this.#mountArgs)
    this.#mounted = true
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.dir)
    return bavail * bsize
  }

  /** Takes all room but this much. */
  fill(leaveBytes: number): void {
    const fd = openSync(this.#ballast, 'w')
    try {
      const zeros = Buffer.alloc(MIB)
      while (this.freeBytes > leaveBytes) {
        writeSync(fd, zeros, 0, Math.min(zeros.length, this.freeBytes - leaveBytes))
        // Else ext4 only plans to take it.
        fsyncSync(fd)
      }
    } finally {
      closeSync(fd)
    }
  }

  /** The same without holding up this process, and all of it. */
  async fillUp(): Promise<void> {
    const child = spawn('dd', ['if=/dev/zero', `of=${this.#ballast}`, 'bs=1M', 'conv=fsync'], { stdio: 'ignore' })
    await once(child, 'exit')
  }

  makeRoom(): void {
    rmSync(this.#ballast)
  }

  /** From now on every write to the device fails with EIO (ext4): the loop driver may not write to an immutable image. */
  fail(): void {
    command('chattr', '+i', this.#image)
  }

  mend(): void {
    command('chattr', '-i', this.#image)
  }

  /** Unmounted, repaired as at a boot, and mounted again. Nobody may use it. */
  repair(): void {
    command('umount', this.dir)
    this.#mounted = false
    // 1: errors were corrected.
    command('sh', '-c', 'fsck.ext4 -fy "$0" > /dev/null 2>&1; test $? -le 1', this.#image)
    this.mount()
  }

  /** From now on every write waits, in the kernel, until `thaw`. */
  async freeze(): Promise<void> {
    const script = `fsfreeze -f "$0" && echo frozen && timeout ${MAX_FREEZE_S} cat; fsfreeze -u "$0"`
    const child = spawn('sh', ['-c', script, this.dir], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#freezing = child
    const [first] = await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')])
    if (String(first).trim() !== 'frozen') throw new Error(`${this.dir} cannot be frozen`)
  }

  async thaw(): Promise<void> {
    const child = this.#freezing
    this.#freezing = undefined
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, 'exit')
    child.stdin!.end()
    await gone
  }

  /** Once no process uses it any more, and else as soon as none does. Safe to call again. */
  remove = (): void => {
    process.off('exit', this.remove)
    // A mistake here must not hide the one that brought us here.
    if (this.#freezing) spawnSync('fsfreeze', ['-u', this.dir])
    if (this.#mounted) {
      this.#mounted = false
      if (spawnSync('umount', [this.dir]).status !== 0) spawnSync('umount', ['--lazy', this.dir])
    }
    spawnSync('chattr', ['-i', this.#image])
    rmSync(this.#image, { force: true })
  }
}

function command(program: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS })
  if (status === 0) return
  throw new Error(`${[program, ...args].join(' ')}: ${error?.message ?? stderr.trim()}`)
}
