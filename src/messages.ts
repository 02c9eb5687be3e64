/**
 * What nodes and clients ask one another over the kv stream, as plain values. `wire/kv-codec.ts` gives them their bytes
 * (`wire/kv.proto`); the simulator sends them through the same codec.
 *
 * `key` is 1 … maxKeyBytes bytes. `state` is an encoded key state (`version/codec.ts`). Every name in base58 is a peer id.
 */
import type { Claim } from './claim.ts'

/** How many answers a request waits for: a number, a majority of N, all N, or the cluster's default. */
export type Level = number | 'quorum' | 'all' | 'default'

export type Request =
  // From a client, or handed on by a node that is not on the preference list (`forwarded`: do not hand on again).
  | { type: 'get'; key: Uint8Array; r: Level; forwarded: boolean }
  | {
      type: 'put'
      key: Uint8Array
      /** Absent: a delete, that is a tombstone. */
      value?: Uint8Array
      /** Encoded context; absent: blind (a delete without one reads first and deletes what it read). */
      context?: Uint8Array
      w: Level
      /** Wall milliseconds; 0: never. */
      expiresAtMs: number
      /** 8 random bytes, the same for every retry of one write. */
      writeId: Uint8Array
      forwarded: boolean
    }
  | { type: 'keys'; range: number; after: Uint8Array; limit: number; prefix: Uint8Array; forwarded: boolean }
  | {
      type: 'info'
      what: 'cluster' | 'members' | 'ring' | 'stats' | 'where' | 'transfers' | 'copies' | 'status'
      key?: Uint8Array
    }
  // Between a coordinator and a replica.
  // `standIn`: of a node that is not on the list, what it keeps for those that are (design §10).
  | { type: 'read'; range: number; key: Uint8Array; standIn: boolean }
  | { type: 'merge'; range: number; key: Uint8Array; state: Uint8Array; standIn: boolean }
  // Ring facts, and the movement of ranges (design §6).
  | { type: 'claims'; claims: Claim[] }
  | { type: 'ask'; ranges: number[] }
  | { type: 'pull'; ranges: number[]; sources: string[] }
  | { type: 'mirror'; ranges: number[] }
  | { type: 'seal'; ranges: number[]; member: string }
  | { type: 'copies'; ranges: number[] }
  // Of ranges that have no synced copy any more, once an operator has accepted that (`repair/losses.ts`).
  /** What the node asked keeps of them for others, to those that can be reached. */
  | { type: 'deliver'; ranges: number[] }
  /** Its own copies, compared with those of `holders`, count as synced. */
  | { type: 'accept'; ranges: number[]; holders: string[] }
  /**
   * An operator's word to the node asked. `remove`: bars `peerId` for good, `force` though it seems alive. `accept-loss`:
   * gives up what the lost copies of `ranges` held, `force` though one of them may return.
   */
  | { type: 'manage'; action: ManageAction; peerId: string; ranges: number[]; force: boolean }
  /** Deleted keys that the asker wants to forget; `proven`: every list member has agreed, so the answerer forgets them too. */
  | { type: 'reap'; range: number; tombstones: Tombstone[]; proven: boolean }

export const MANAGE_ACTIONS = ['leave', 'remove', 'accept-loss'] as const
export type ManageAction = (typeof MANAGE_ACTIONS)[number]

/** A key whose siblings are all deleted or expired. */
export interface Tombstone {
  /** Its position. */
  hi: number
  lo: number
  /** Of its state (`stateTag`). */
  tag: number
  /** Encoded; every dot that the state knows of. */
  context: Uint8Array
}

export interface SiblingView {
  value: Uint8Array
  /** `actor:counter`, actor in 16 hex digits. */
  dot: string
  /** Wall milliseconds; 0: never. */
  expiresAtMs: number
  /** Wall milliseconds; 0: not known. */
  writtenAtMs: number
}

export type CopyStatus = 'none' | 'syncing' | 'synced' | 'frozen'

export type Answer =
  /** `deletedAtMs`: when the newest sibling beside them was written that is deleted or expired (wall milliseconds); 0: none. */
  | { type: 'got'; siblings: SiblingView[]; context: Uint8Array; replies: number; deletedAtMs: number }
  | {
      type: 'stored'
      context: Uint8Array
      dot: string
      acks: number
      sloppy: boolean
      /** Live values of the key after the write, in the fullest copy of those that had answered, and how many the write replaced. */
      siblings: number
      replaced: number
    }
  | { type: 'keys'; keys: Uint8Array[]; done: boolean }
  /** A JSON document in the shape of the `--json` output of the command of that name. */
  | { type: 'info'; json: string }
  /** A replica's state of a key; absent: it has nothing. Only `synced` copies vote for "no such key". */
  | { type: 'state'; state?: Uint8Array; synced: boolean }
  /** `siblings`: live values of the key in this copy after the merge; 0: none, or not told (a stand-in, an older node). */
  | { type: 'merged'; synced: boolean; siblings: number }
  /** `moved`: the asked replica is not on the list; here are newer facts. */
  | { type: 'moved'; claims: Claim[] }
  | { type: 'ok' }
  /** To `ask`: what was granted, and what is still being copied or has to wait. */
  | { type: 'asked'; granted: Claim[]; pending: number[]; refused: number[] }
  /** To `pull`: ranges that are synced and mirrored by now; progress of the rest. */
  | { type: 'pulled'; synced: number[]; keysDone: number; keysTotal: number }
  /**
   * To `mirror`: from now on the answerer acknowledges no write of these ranges before the asker has it. `continued`: so
   * it has been since the asker's last call. `started`: only from now. `absent`: it has no synced copy to mirror.
   */
  | { type: 'mirrored'; continued: number[]; started: number[]; absent: number[] }
  | { type: 'copies'; copies: { range: number; status: CopyStatus }[] }
  /** To `reap`: which of the tombstones, by their places in the request, may go (or have gone) as far as the answerer knows. */
  | { type: 'reapable'; places: number[] }
