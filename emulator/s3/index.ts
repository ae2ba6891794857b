/**
 * An S3 store on this computer: signature v4, conditional writes, multipart, versions, checksums, and nothing held in
 * memory but the index. Files below one folder; what was answered is on the disk.
 */
import type { RequestListener, Server } from "node:http";
import type { Clock } from "../../common/clock.ts";
import type { Log } from "../../common/log.ts";
import type { S3FaultSource } from "./faults.ts";
import { type KeyPair, openKeyring } from "./keys.ts";
import { createS3HttpServer, createS3Listener } from "./server.ts";
import { openS3Store } from "./storage/store.ts";

export { REGION as S3_REGION } from "./authenticate.ts";
export type { S3FaultSource } from "./faults.ts";
export type { KeyPair } from "./keys.ts";

export interface EmulatedS3 {
  /** The pair that may do everything. */
  root: KeyPair;
  /** A pair that reaches one prefix of one bucket: the same one each time. */
  keyFor(bucket: string, prefix: string): KeyPair;
  /** A server that is not listening yet; any number of them. */
  createServer(): Server;
  listener: RequestListener;
  usage(): S3Usage;
  /** Resolves when changes under way are on the disk; no others follow. */
  close(): Promise<void>;
}

export interface S3Usage {
  buckets: number;
  /** Current objects, and their bytes. */
  objects: number;
  bytes: number;
  /** Bytes of old versions and unfinished uploads as well. */
  keptBytes: number;
}

export interface EmulatedS3Options {
  folder: string;
  log: Log;
  clock?: Clock;
  faults?: S3FaultSource;
}

/** Opens the store below `folder`, or makes it. */
export async function openEmulatedS3({ folder, ...options }: EmulatedS3Options): Promise<EmulatedS3> {
  const store = await openS3Store(folder);
  const keyring = openKeyring(folder);
  const listener = createS3Listener({ store, keyring, ...options });
  return {
    root: keyring.root,
    keyFor: keyring.keyFor,
    createServer: () => createS3HttpServer(listener),
    listener,
    usage() {
      const sum = { buckets: 0, objects: 0, bytes: 0, keptBytes: 0 };
      for (const { contents } of store.buckets()) {
        const { objects, bytes, keptBytes } = contents.sizes();
        sum.buckets += 1;
        sum.objects += objects;
        sum.bytes += bytes;
        sum.keptBytes += keptBytes;
      }
      return sum;
    },
    close: () => store.close(),
  };
}
