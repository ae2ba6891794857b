/**
 * What the runtime asks of an object store: S3's own calls, reduced to those that checkpoints, lease and snapshots use.
 * A key is relative to the run's prefix. Tests put a store in memory behind the same interface.
 */

/** Sent with a write, so that it happens only if nobody was faster. */
export type Condition = { ifMatch: string } | { ifNoneMatch: "*" };

export interface StoredObject {
  body: Buffer;
  etag: string;
  /** When the object was written and when the store answered, both in ms by the store's own clock (whole seconds). */
  lastModifiedMs: number;
  storeNowMs: number;
}

export interface ObjectInfo {
  key: string;
  bytes: number;
  etag: string;
  lastModifiedMs: number;
}

export interface Transfer {
  signal?: AbortSignal;
  /** Bytes since the last call. */
  onProgress?(bytes: number): void;
  /** Of a download: the first `bytes` bytes are in the file at `path`. A store may call it never. */
  onArrived?(path: string, bytes: number): void;
  /** Of a download, at its end: the CRC-32 of the bytes as they came. A store may call it never. */
  onCrc32?(crc: number): void;
}

export interface ObjectStore {
  /** For people: `s3://bucket/prefix`. */
  readonly name: string;
  /** Whether `If-Match` and `If-None-Match` hold here; asked of the store once, then remembered. */
  hasConditions(): Promise<boolean>;
  /** Undefined when there is none. @throws UserError VL_STORE_* */
  get(key: string): Promise<StoredObject | undefined>;
  /** @throws ConditionFailed when somebody else has written since; UserError VL_STORE_* */
  put(key: string, body: Uint8Array | string, condition?: Condition): Promise<{ etag: string }>;
  /** All keys below a prefix, in order of keys, pages joined. */
  list(prefix: string): Promise<ObjectInfo[]>;
  /** No error when there is none. */
  delete(keys: readonly string[]): Promise<void>;
  /** A file of any size, in parts and in parallel; goes on with the parts that an interrupted upload left. */
  upload(key: string, file: string, transfer?: Transfer): Promise<void>;
  /**
   * Into a file beside which nothing half-written is left; goes on where an interrupted download stopped.
   * @throws UserError VL_CHECKPOINT_BAD when there is no such object, or one of another length
   */
  download(key: string, file: string, bytes: number, transfer?: Transfer): Promise<void>;
}

/** The condition of a write did not hold: somebody else was faster, or our own earlier try had arrived. */
export class ConditionFailed extends Error {
  readonly key: string;
  constructor(key: string, options?: ErrorOptions) {
    super(`somebody else has written ${key}`, options);
    this.name = "ConditionFailed";
    this.key = key;
  }
}
