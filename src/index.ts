/**
 * coterie: Amazon's Dynamo as libp2p peers. The public API.
 *
 * - `createNode(options)`: a node with its libp2p host.
 * - `coterie(init)`: the same as a service of a libp2p host of yours.
 * - `connect(options)`: a client without storage.
 *
 * All three give a `Store`.
 */

export { type ConnectOptions, type CoterieClient, connect } from './client/client.ts'
export type { ClusterParams, Durability, NodeSettings } from './config.ts'
export { CoterieError, ERROR_CODES, type ErrorCode, isCoterieError } from './errors.ts'
export type { Level } from './messages.ts'
export { type CoterieNode, createNode, type NodeOptions } from './node.ts'
export type { Log } from './ports.ts'
export { type LogLevel, lineLog } from './runtime.ts'
export { type CoterieInit, CoterieService, coterie } from './service.ts'
export type {
  Bytes,
  DeleteOptions,
  GetOptions,
  GetResult,
  KeysOptions,
  OperationOptions,
  PutOptions,
  PutResult,
  Sibling,
  Store,
  UpdateOptions
} from './store.ts'
