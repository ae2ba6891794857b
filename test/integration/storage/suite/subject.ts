/** The store under test, and small words that all parts of the suite use. */
import { createHash, randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from "@aws-sdk/client-s3";
import { clientOf, type TestS3 } from "../../../helpers/s3.ts";

/** What a store does not do as AWS does; each is asserted, as the difference that it is. */
export type Difference =
  /** Keys are paths of a file system: no `..`, no `//`, no object below an object. */
  | "keys are paths"
  /** Bucket names may have two dots in a row. */
  | "dots in bucket names"
  /** `encoding-type=url` is taken and does nothing. */
  | "no encoding-type"
  /** DeleteObjects lists what it deleted even when asked not to. */
  | "never quiet"
  /** A copy whose source was not modified answers 304, not 412. */
  | "304 to copies"
  /** DELETE with If-Match of what is gone is success, so several can win. */
  | "deletes are not atomic"
  /** If-None-Match: * is refused where a delete marker is the newest version. */
  | "markers are objects"
  /** A key that nobody has is XAdminUserNotFound. */
  | "unknown keys are 404"
  /** The coding of the transfer stays in Content-Encoding. */
  | "keeps aws-chunked"
  /** A body whose sender has gone is kept as far as it came. */
  | "keeps cut bodies";

export interface Subject {
  store: TestS3;
  s3: S3Client;
  differs(what: Difference): boolean;
}

let count = 0;

/** A new bucket for one test. */
export async function newBucket({ s3 }: Subject, options: { versioning?: boolean } = {}): Promise<string> {
  const Bucket = `suite-${process.pid}-${++count}`;
  await s3.send(new CreateBucketCommand({ Bucket }));
  if (options.versioning)
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
  return Bucket;
}

export async function put(
  { s3 }: Subject,
  Bucket: string,
  Key: string,
  Body: string | Buffer,
  more: Partial<PutObjectCommandInput> = {},
) {
  return s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
}

export async function read({ s3 }: Subject, Bucket: string, Key: string, VersionId?: string): Promise<string> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, ...(VersionId ? { VersionId } : {}) }));
  return (await bytesOf(Body as Readable)).toString();
}

export async function bytesOf(body: Readable | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Status and code of a refusal; `{ status: 200 }` for what succeeds. */
export async function refusal(promise: Promise<unknown>): Promise<{ status: number; code?: string }> {
  try {
    await promise;
    return { status: 200 };
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    if ($metadata?.httpStatusCode === undefined) throw error;
    return { status: $metadata.httpStatusCode, code: name };
  }
}

export const md5 = (bytes: string | Buffer, encoding: "hex" | "base64" = "hex"): string =>
  createHash("md5").update(bytes).digest(encoding);

export const MiB = 1024 * 1024;

/** Bytes that repeat nowhere. */
export const noise = (bytes: number): Buffer => randomBytes(bytes);

/** A client of the same store with other settings. */
export { clientOf };
