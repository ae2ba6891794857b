/**
 * A file of any size into the store. Large ones go as a multipart upload, in parallel, with one buffer a connection:
 * memory stays at 32 MiB whatever the file's size. Each part is signed with its SHA-256, which every S3 server
 * checks, so a torn or changed part is refused and sent again. Which parts are there is noted beside the file.
 */
import { closeSync, openSync, read, statSync } from "node:fs";
import { promisify } from "node:util";
import type { S3Client } from "@aws-sdk/client-s3";
import { loadS3 } from "../../common/s3.ts";
import { statusOf, storeCodeOf } from "../../common/store-errors.ts";
import { inParallel } from "./parallel.ts";
import { openPartLog, type PartLog } from "./part-log.ts";
import type { Transfer } from "./types.ts";

/** Files up to this size are one request. */
const SINGLE_BYTES = 16 << 20;
const CONNECTIONS = 4;
/** S3 takes 10,000 parts at most. */
const MOST_PARTS = 10_000;
const PART_BYTES = 8 << 20;

const readAsync = promisify(read);

/** An object in a bucket, with the client that reaches it. */
export interface S3Place {
  s3: S3Client;
  bucket: string;
  /** Whole, the run's prefix included. */
  key: string;
}

/**
 * Uploads `file`, which must not change meanwhile. Killed or failed, it leaves `<file>.upload` beside the file and
 * the parts in the store; the next call for the same key goes on from there.
 * @throws what the SDK throws, and faults of the local disk as they are
 */
export async function uploadFile(place: S3Place, file: string, transfer: Transfer = {}): Promise<void> {
  const { size, mtimeMs } = statSync(file);
  const descriptor = openSync(file, "r");
  try {
    if (size <= SINGLE_BYTES) return await putWhole(place, descriptor, size, transfer);
    const partBytes = partSize(size);
    const log = openPartLog(`${file}.upload`, { bucket: place.bucket, key: place.key, size, mtimeMs, partBytes });
    for (let isRepeated = false; ; isRepeated = true) {
      try {
        await putParts(place, { descriptor, size, partBytes, log, transfer });
        break;
      } catch (error) {
        if (storeCodeOf(error) !== "NoSuchUpload") throw error;
        // Either completed by a try whose answer was lost, or given up by the bucket's lifecycle.
        if (log.get("complete") && (await isThere(place, size))) break;
        if (isRepeated) throw error;
        log.reset();
      }
    }
    log.remove();
  } finally {
    closeSync(descriptor);
  }
}

/** Bytes of a part: 8 MiB, more where a file would have too many of them. */
export function partSize(size: number): number {
  const MiB = 1 << 20;
  return Math.max(PART_BYTES, Math.ceil(size / MOST_PARTS / MiB) * MiB);
}

async function putWhole(place: S3Place, descriptor: number, size: number, transfer: Transfer): Promise<void> {
  const { PutObjectCommand } = await loadS3();
  const Body = await readPart(descriptor, Buffer.allocUnsafeSlow(size), 0);
  const target = { Bucket: place.bucket, Key: place.key };
  await place.s3.send(new PutObjectCommand({ ...target, Body, ContentLength: size }), abortable(transfer.signal));
  transfer.onProgress?.(size);
}

interface Parts {
  descriptor: number;
  size: number;
  partBytes: number;
  log: PartLog;
  transfer: Transfer;
}

async function putParts({ s3, bucket, key }: S3Place, { descriptor, size, partBytes, log, transfer }: Parts) {
  const { CreateMultipartUploadCommand, UploadPartCommand, CompleteMultipartUploadCommand } = await loadS3();
  const target = { Bucket: bucket, Key: key };
  const started = log.get("upload");
  const UploadId =
    started ?? (await s3.send(new CreateMultipartUploadCommand(target), abortable(transfer.signal))).UploadId ?? "";
  if (started === undefined) log.note("upload", UploadId);

  const numbers = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => index + 1);
  const isMissing = (number: number) => log.get(number) === undefined;
  const bytesOf = (number: number) => Math.min(partBytes, size - (number - 1) * partBytes);
  for (const number of numbers) if (!isMissing(number)) transfer.onProgress?.(bytesOf(number));

  await inParallel(CONNECTIONS, numbers.filter(isMissing), transfer.signal, (signal) => {
    const buffer = Buffer.allocUnsafeSlow(partBytes);
    return async (PartNumber) => {
      const ContentLength = bytesOf(PartNumber);
      const Body = await readPart(descriptor, buffer.subarray(0, ContentLength), (PartNumber - 1) * partBytes);
      const part = new UploadPartCommand({ ...target, UploadId, PartNumber, Body, ContentLength });
      const { ETag } = await s3.send(part, { abortSignal: signal });
      log.note(PartNumber, ETag ?? "");
      transfer.onProgress?.(ContentLength);
    };
  });

  const Parts = numbers.map((PartNumber) => ({ PartNumber, ETag: log.get(PartNumber) }));
  log.note("complete", "asked");
  await s3.send(
    new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
    abortable(transfer.signal),
  );
}

async function readPart(descriptor: number, buffer: Buffer, position: number): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await readAsync(descriptor, buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) throw new Error("the file has become shorter while it was uploaded");
    filled += bytesRead;
  }
  return buffer;
}

async function isThere({ s3, bucket, key }: S3Place, size: number): Promise<boolean> {
  const { HeadObjectCommand } = await loadS3();
  try {
    return (await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))).ContentLength === size;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

const abortable = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});
