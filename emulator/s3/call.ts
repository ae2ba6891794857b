/** The vocabulary of the operations: what a handler gets and what it may answer. */
import type { Caller } from "./authenticate.ts";
import type { S3Request } from "./request.ts";
import type { Bucket, Reading } from "./storage/bucket.ts";
import type { S3Store } from "./storage/store.ts";

export interface S3Call {
  request: S3Request;
  caller: Caller;
  store: S3Store;
  /** The bucket of the request. @throws S3Error NoSuchBucket */
  bucket(): Bucket;
  /** Whether the caller may touch this key of the bucket, in operations that have keys in their body. */
  mayUse(key: string): boolean;
  /** Unix time in ms, whole seconds: S3's times have no more. */
  now(): number;
}

export interface S3Reply {
  status: number;
  headers?: Record<string, string>;
  xml?: string;
  body?: Reading;
}

export type Handler = (call: S3Call) => Promise<S3Reply>;

export const quoted = (etag: string): string => `"${etag}"`;
/** RFC 3339, as in XML. */
export const isoTime = (ms: number): string => new Date(ms).toISOString();
