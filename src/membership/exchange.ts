/**
 * One gossip exchange as an `it-pipe` pipeline over a duplex stream (design §5; Dynamo, SOSP 2007, §4.8):
 *
 *   initiator → digest → responder → what is newer here, and the ids wanted → initiator → those records
 *
 * Both sides learn from it. Messages stay under 64 KiB; records that one message does not hold follow in more.
 */
import { pipe } from 'it-pipe'
import { CoterieError } from '../errors.ts'
import type { Duplex } from '../ports.ts'
import {
  decodeGossip,
  encodeGossip,
  type GossipMessage,
  MAX_GOSSIP_BYTES,
  PREFIX_BYTES,
  type Prefix,
  type Pulse,
  packRecords,
  pulseBytes
} from './gossip-messages.ts'
import { MAX_RECORD_BYTES, type SignedRecord } from './member-record.ts'
import type { MemberTable } from './member-table.ts'

/** Messages with records that one side sends in one exchange: a newcomer catches up in few, and none takes long. */
export const MAX_RECORD_MESSAGES = 8
/** Of a delta, the part for heartbeats (2,200 of them) and the part for wanted ids (1,024): the rest is for records. */
const MAX_PULSES_BYTES = 24 * 1024
const MAX_WANTS = 1024
/** A message with one record of the largest size. */
const MAX_INCOMING_BYTES = MAX_RECORD_BYTES + MAX_GOSSIP_BYTES

export interface ExchangeContext {
  table: MemberTable
  /** Takes in foreign records, genuine or not. */
  receive(records: SignedRecord[]): void
  /** Takes in heartbeats. */
  hear(pulses: Pulse[]): void
  /** Bytes of messages, for the books. */
  traffic: { sentBytes: number; receivedBytes: number }
}

type Messages = AsyncIterable<GossipMessage>

const protocolError = (what: string) => new CoterieError('protocol', `gossip: ${what}`)

/** Begins an exchange. Rejects, and gives the stream up, with the first thing that went wrong. */
export async function initiate(stream: Duplex, context: ExchangeContext): Promise<void> {
  const wanted = Promise.withResolvers<Prefix[]>()
  // It is awaited only if the stream gets that far.
  wanted.promise.catch(() => {})
  async function* outgoing(): AsyncGenerator<GossipMessage> {
    yield { type: 'digest', ...context.table.digest(MAX_GOSSIP_BYTES) }
    yield* recordMessages(recordsAt(context.table, await wanted.promise), [])
  }
  const watched = watch(stream)
  try {
    await pipe(
      outgoing(),
      (messages: Messages) => encode(messages, context),
      watched.duplex,
      (source: AsyncIterable<Uint8Array>) => decode(source, context),
      async (messages: Messages) => {
        const pulses: Pulse[] = []
        let count = 0
        for await (const message of messages) {
          const expected = count++ === 0 ? 'delta' : 'records'
          if (message.type !== expected) throw protocolError(`a ${message.type} where ${expected} had to come`)
          context.receive(message.records)
          if (message.type !== 'delta') continue
          wanted.resolve(message.wants)
          pulses.push(...message.pulses)
        }
        if (count === 0) throw protocolError('the peer closed without an answer')
        // Last, because a pulse counts only for a record that is here.
        context.hear(pulses)
      }
    )
    await watched.sent()
  } catch (error) {
    wanted.reject(error)
    stream.abort(error as Error)
    throw error
  }
}

/** Answers an exchange. Rejects, and gives the stream up, with the first thing that went wrong. */
export async function respond(stream: Duplex, context: ExchangeContext): Promise<void> {
  async function* answer(messages: Messages): AsyncGenerator<GossipMessage> {
    const incoming = messages[Symbol.asyncIterator]()
    const first = await incoming.next()
    if (first.done || first.value.type !== 'digest') throw protocolError('an exchange that begins with no digest')
    const digest = first.value
    const { newer, pulses, wants } = context.table.compare(digest)
    context.hear(digest.entries)
    yield* recordMessages(
      newer.map(entry => entry.signed),
      fitting(pulses),
      wants.slice(0, MAX_WANTS)
    )
    for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
      if (next.value.type !== 'records') throw protocolError(`a ${next.value.type} where records had to come`)
      context.receive(next.value.records)
    }
    // Again, now that the records are here which some of these heartbeats belong to.
    context.hear(digest.entries)
  }
  const watched = watch(stream)
  try {
    await pipe(
      watched.duplex.source,
      (source: AsyncIterable<Uint8Array>) => decode(source, context),
      answer,
      (messages: Messages) => encode(messages, context),
      watched.duplex.sink
    )
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}

/** A pipeline ends with what it reads; this also tells when all that we send has been sent. */
function watch(stream: Duplex): { duplex: Duplex; sent: () => Promise<void> } {
  let sending: Promise<void> = Promise.resolve()
  const duplex: Duplex = {
    source: stream.source,
    sink(source) {
      sending = stream.sink(source)
      return sending
    },
    abort: reason => stream.abort(reason)
  }
  return { duplex, sent: () => sending }
}

async function* encode(messages: Messages, { traffic }: ExchangeContext): AsyncGenerator<Uint8Array> {
  for await (const message of messages) {
    const bytes = encodeGossip(message)
    traffic.sentBytes += bytes.length
    yield bytes
  }
}

async function* decode(source: AsyncIterable<Uint8Array>, { traffic }: ExchangeContext): AsyncGenerator<GossipMessage> {
  let count = 0
  for await (const bytes of source) {
    traffic.receivedBytes += bytes.length
    if (++count > 1 + MAX_RECORD_MESSAGES) throw protocolError('more messages than an exchange has')
    if (bytes.length > MAX_INCOMING_BYTES) throw protocolError(`a message of ${bytes.length} bytes`)
    const message = decodeGossip(bytes)
    if (bytes.length > MAX_GOSSIP_BYTES && (message.type === 'digest' || message.records.length !== 1)) {
      throw protocolError(`a message of ${bytes.length} bytes without one large record`)
    }
    yield message
  }
}

/** Records in as many messages as they need and an exchange allows. With `wants`, the first is a delta, even if empty. */
function* recordMessages(records: SignedRecord[], pulses: Pulse[], wants?: Prefix[]): Generator<GossipMessage> {
  const taken = pulses.reduce((sum, pulse) => sum + pulseBytes(pulse), PREFIX_BYTES * (wants?.length ?? 0))
  const room = MAX_GOSSIP_BYTES - taken - MESSAGE_OVERHEAD
  const [first = [], ...rest] = packRecords(records, room, MAX_GOSSIP_BYTES - MESSAGE_OVERHEAD)
  if (wants) yield { type: 'delta', records: first, pulses, wants }
  else if (first.length > 0) yield { type: 'records', records: first }
  // What is left over is still newer at the next exchange.
  for (const pack of rest.slice(0, MAX_RECORD_MESSAGES - 1)) yield { type: 'records', records: pack }
}

/** Around the lists of a message: its kind and the tags and lengths of pulses and wants. */
const MESSAGE_OVERHEAD = 32

function fitting(pulses: Pulse[]): Pulse[] {
  let room = MAX_PULSES_BYTES
  const end = pulses.findIndex(pulse => (room -= pulseBytes(pulse)) < 0)
  return end < 0 ? pulses : pulses.slice(0, end)
}

function recordsAt(table: MemberTable, wants: Prefix[]): SignedRecord[] {
  return wants.flatMap(prefix => table.at(prefix)?.signed ?? [])
}
