/**
 * What a request is about, from its line and headers alone: bucket, key, subresource. Buckets are found in the path
 * (`/bucket/key`) and in the host (`bucket.localhost`). Paths are taken literally: `..` and `//` are parts of keys.
 */
import type { IncomingMessage } from "node:http";
import { S3Error } from "./errors.ts";
import { decodePath, parseQuery } from "./uri.ts";

export interface S3Request {
  method: string;
  /** Empty for the service itself. */
  bucket: string;
  /** Empty for the bucket itself. */
  key: string;
  query: Query;
  headers: Record<string, string>;
  /** Names and values as they came; a name may be there several times. */
  rawHeaders: readonly string[];
  /** The decoded path as it was sent, for the signature. */
  path: string;
  /** The same as it came. */
  rawPath: string;
  isBucketInHost: boolean;
  body: AsyncIterable<Buffer>;
}

export interface Query {
  /** Decoded pairs in their order. */
  pairs: readonly (readonly [string, string])[];
  has(name: string): boolean;
  get(name: string): string | undefined;
}

const MAX_KEY_BYTES = 1024;
/** Hosts whose first labels are a bucket. */
const BUCKET_HOST = /^(.+)\.(?:localhost|\d+\.\d+\.\d+\.\d+|s3[.-][\w.-]*amazonaws\.com)$/;

export function readRequest(message: IncomingMessage): S3Request {
  const url = message.url ?? "/";
  const mark = url.indexOf("?");
  // A proxy's absolute form has the host in front.
  const rawPath = (mark === -1 ? url : url.slice(0, mark)).replace(/^https?:\/\/[^/]*/, "") || "/";
  const path = decodePath(rawPath);
  if (path === undefined) throw new S3Error("InvalidURI", "Couldn't parse the specified URI.");
  const headers = flat(message);
  const inHost = BUCKET_HOST.exec((headers.host ?? "").replace(/:\d+$/, ""))?.[1];
  // Cut before decoding: an encoded slash belongs to the key, but never ends the bucket's name.
  const [, first = "", rest = ""] = /^\/([^/]*)(?:\/(.*))?$/s.exec(path) ?? [];
  const [bucket, key] = inHost === undefined ? [first, rest] : [inHost, path.slice(1)];
  if (Buffer.byteLength(key) > MAX_KEY_BYTES)
    throw new S3Error("KeyTooLongError", "Your key is too long", {
      fields: { Size: Buffer.byteLength(key), MaxSizeAllowed: MAX_KEY_BYTES },
    });
  return {
    method: message.method ?? "GET",
    bucket,
    key,
    query: queryOf(parseQuery(mark === -1 ? "" : url.slice(mark + 1))),
    headers,
    rawHeaders: message.rawHeaders,
    path,
    rawPath,
    isBucketInHost: inHost !== undefined,
    // A refused body must not take the connection with it, or its sender never learns why.
    body: message.iterator({ destroyOnReturn: false }),
  };
}

export function queryOf(pairs: readonly (readonly [string, string])[]): Query {
  const first = new Map<string, string>();
  for (const [name, value] of pairs) if (!first.has(name)) first.set(name, value);
  return { pairs, has: (name) => first.has(name), get: (name) => first.get(name) };
}

/** A whole number of a query or header. @throws S3Error InvalidArgument */
export function wholeNumber(text: string, name: string, low: number, high: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= low && value <= high))
    throw new S3Error("InvalidArgument", `${name} must be an integer between ${low} and ${high}`, {
      fields: { ArgumentName: name, ArgumentValue: text },
    });
  return value;
}

function flat(message: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(message.headersDistinct).map(([name, values = []]) => [name, values.join(",")]),
  );
}
