/** Latency over time as an SVG: for each 100 ms the median, the slowest, and what failed. */
import type { Sample } from './load.ts'

export interface PictureInit {
  fromMs: number
  toMs: number
  /** The fault. */
  beganMs: number
  endedMs: number
}

const WIDTH = 900
const HEIGHT = 260
const LEFT = 60
const BOTTOM = 30
const TOP = 30
const SLICE_MS = 100
/** From here on there is a label every 30 s, not every 5. */
const MANY_LABELS_MS = 100_000
/** The axis is logarithmic. */
const MIN_MS = 0.1
const MAX_MS = 10_000
const TARGET_MS = 300

export function picture(title: string, samples: Sample[], { fromMs, toMs, beganMs, endedMs }: PictureInit): string {
  const x = (ms: number) => LEFT + ((ms - fromMs) / (toMs - fromMs)) * (WIDTH - LEFT - 10)
  const y = (ms: number) => {
    const share = Math.log(Math.min(MAX_MS, Math.max(MIN_MS, ms)) / MIN_MS) / Math.log(MAX_MS / MIN_MS)
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
  }
  const slices = new Map<number, Sample[]>()
  for (const sample of samples) {
    if (sample.atMs < fromMs || sample.atMs > toMs) continue
    const slice = Math.floor(sample.atMs / SLICE_MS)
    slices.set(slice, [...(slices.get(slice) ?? []), sample])
  }
  const lines = { p50: [] as string[], max: [] as string[] }
  const failures: string[] = []
  for (const [slice, inside] of [...slices].sort(([a], [b]) => a - b)) {
    const atMs = (slice + 0.5) * SLICE_MS
    const times = inside.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
    const point = (ms: number) => `${x(atMs).toFixed(1)},${y(ms).toFixed(1)}`
    lines.p50.push(point(times[Math.floor(times.length / 2)]!))
    lines.max.push(point(times.at(-1)!))
    if (inside.some(({ failed }) => failed !== undefined)) failures.push(x(atMs).toFixed(1))
  }
  const grid = [0.1, 1, 10, 100, 1000, 10_000].map(
    ms =>
      `<line x1="${LEFT}" x2="${WIDTH - 10}" y1="${y(ms)}" y2="${y(ms)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${y(ms) + 4}" text-anchor="end">${ms} ms</text>`
  )
  const everyS = toMs - fromMs > MANY_LABELS_MS ? 30 : 5
  const seconds = Array.from({ length: Math.ceil((toMs - fromMs) / 1000 / everyS) }, (_, i) => i * everyS)
  const times = seconds.map(
    s => `<text x="${x(fromMs + s * 1000)}" y="${HEIGHT - 10}" text-anchor="middle">${s} s</text>`
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">
<title>${title}</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<rect x="${x(beganMs)}" y="${TOP}" width="${x(endedMs) - x(beganMs)}" height="${HEIGHT - TOP - BOTTOM}" fill="#fde9d9"/>
<text x="${LEFT}" y="18" font-size="13">${title}: median and slowest of each ${SLICE_MS} ms; shaded: the fault; dashed: ${TARGET_MS} ms</text>
${grid.join('\n')}
${times.join('\n')}
<line x1="${LEFT}" x2="${WIDTH - 10}" y1="${y(TARGET_MS)}" y2="${y(TARGET_MS)}" stroke="#c00" stroke-dasharray="4 4"/>
<polyline fill="none" stroke="#9ab" points="${lines.max.join(' ')}"/>
<polyline fill="none" stroke="#136" stroke-width="1.5" points="${lines.p50.join(' ')}"/>
${failures.map(at => `<line x1="${at}" x2="${at}" y1="${TOP}" y2="${TOP + 8}" stroke="#c00" stroke-width="2"/>`).join('\n')}
</svg>
`
}
