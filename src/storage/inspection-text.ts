/** An inspection of a range file in lines for a person. */
import { hex, type InspectedSpan, type Inspection, shownKey } from './inspect.ts'

/** Keys are shown as JSON strings, or as `base64:…`: no key can move a terminal's cursor. */
export function formatInspection(inspection: Inspection): string {
  const { header } = inspection
  const lines = [`${inspection.path}: ${inspection.fileBytes} bytes`]
  if (inspection.problem !== undefined || !header) {
    return `${lines[0]}\nnot a range log that this program reads: ${inspection.problem}\n`
  }
  lines.push(
    `range       ${header.range} of ${header.q}, generation ${header.generation}, format ${header.version}`,
    `file id     ${header.fileId}`
  )
  if (header.continues !== undefined)
    lines.push(
      `continues   ${header.continues}, ${inspection.settled ? 'and holds all of it' : 'and does not hold all of it'}`
    )
  lines.push(
    `records     ${inspection.records}, ${inspection.removals} of them removals`,
    `keys        ${inspection.keys}`,
    `live bytes  ${inspection.liveBytes}`,
    `dead bytes  ${inspection.deadBytes}`,
    `torn bytes  ${inspection.tornBytes}`,
    `hint        ${inspection.hint}`,
    `damages     ${inspection.damages.length}`,
    ...inspection.damages.map(spanLine)
  )
  if (inspection.nonsense) lines.push(`nonsense    ${inspection.nonsense.length}`, ...inspection.nonsense.map(spanLine))
  for (const key of inspection.keyList ?? []) {
    lines.push(`${key.position}  at ${key.offset}  ${key.valueBytes} bytes  tag ${hex(key.tag)}  ${nameOf(key)}`)
  }
  return `${lines.join('\n')}\n`
}

function spanLine({ offset, length, detail, key }: InspectedSpan): string {
  const whose = key === undefined ? '' : ` (key ${nameOf(shownKey(Buffer.from(key, 'base64')))})`
  return `  at ${offset}, ${length} bytes: ${detail}${whose}`
}

function nameOf({ text, base64 }: { text?: string; base64: string }): string {
  return text === undefined ? `base64:${base64}` : escapeControls(JSON.stringify(text))
}

/** JSON leaves DEL and the C1 controls as they are; a terminal obeys them. */
function escapeControls(text: string): string {
  return text.replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, char => `\\u${hex(char.charCodeAt(0)).slice(4)}`)
}
