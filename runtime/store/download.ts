/**
 * An object of any size out of the store, by ranged requests in parallel into `<file>.partial`, renamed when it is
 * whole. What has arrived is noted beside it, so that a killed download goes on. The file is not forced onto the
 * disk: whoever loads it compares its hash, and the store still has it should the power fail.
 */
import { closeSync, ftruncateSync, openSync, renameSync, rmSync, statfsSync, statSync, write } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../../common/errors.ts";
import { loadS3 } from "../../common/s3.ts";
import { statusOf } from "../../common/store-errors.ts";
import { combineCrc32, crc32 } from "./crc32.ts";
import type { DirectGet, Sink } from "./direct-get.ts";
import { inParallel } from "./parallel.ts";
import { openPartLog } from "./part-log.ts";
import type { Transfer } from "./types.ts";
import type { S3Place } from "./upload.ts";

const MiB = 1 << 20;
const CONNECTIONS = 4;

const writeAsync = promisify(write);

/**
 * Downloads `bytes` bytes into `file`. Interrupted, it leaves `<file>.partial` and `<file>.partial.parts`, which the
 * next call uses if the object is still the same.
 * @throws what the SDK throws, faults of the local disk as they are, UserError VL_CHECKPOINT_BAD for another length
 */
export async function downloadFile(place: S3Place, file: string, bytes: number, transfer: Transfer = {}) {
  const partial = `${file}.partial`;
  for (let isRepeated = false; ; isRepeated = true) {
    try {
      await getParts(place, partial, bytes, transfer);
      break;
    } catch (error) {
      // Somebody has written the object anew between two of its parts.
      if (statusOf(error) !== 412 || isRepeated) throw error;
    }
  }
  renameSync(partial, file);
  rmSync(logOf(partial), { force: true });
}

/** Bytes of a part: few requests for a large file, several connections for a small one. */
function partSize(bytes: number): number {
  return Math.min(32, Math.max(16, Math.ceil(bytes / 32 / MiB))) * MiB;
}

const logOf = (partial: string) => `${partial}.parts`;

async function getParts(place: S3Place, partial: string, bytes: number, transfer: Transfer): Promise<void> {
  const etag = await etagOf(place, bytes, transfer.signal);
  const size = sizeOf(partial);
  const partBytes = partSize(bytes);
  const log = openPartLog(logOf(partial), { bucket: place.bucket, key: place.key, bytes, etag, partBytes });
  if (size !== bytes) log.reset();
  requireSpace(partial, bytes);
  const descriptor = openSync(partial, size === undefined ? "w+" : "r+", 0o644);
  try {
    ftruncateSync(descriptor, bytes);
    const parts = Array.from({ length: Math.ceil(bytes / partBytes) }, (_, index) => index);
    const endOf = (part: number) => Math.min(bytes, (part + 1) * partBytes);
    let arrived = 0;
    const arrive = (part: number) => {
      transfer.onProgress?.(endOf(part) - part * partBytes);
      if (part !== arrived) return;
      while (arrived < parts.length && log.get(arrived) !== undefined) arrived += 1;
      transfer.onArrived?.(partial, Math.min(bytes, arrived * partBytes));
    };
    const missing = parts.filter((part) => log.get(part) === undefined);
    for (const part of parts) if (log.get(part) !== undefined) arrive(part);

    await inParallel(CONNECTIONS, missing, transfer.signal, (signal) => async (part) => {
      const crc = await getRange(place, { descriptor, start: part * partBytes, end: endOf(part), etag, signal });
      log.note(part, String(crc));
      arrive(part);
    });
    const sizes = parts.map((part) => endOf(part) - part * partBytes);
    const whole = parts.reduce((crc, part) => combineCrc32(crc, Number(log.get(part)), sizes[part] ?? 0), 0);
    if (crc32) transfer.onCrc32?.(whole);
  } finally {
    closeSync(descriptor);
  }
}

interface Range {
  descriptor: number;
  start: number;
  end: number;
  etag: string;
  signal: AbortSignal;
}

/** Gives the range's CRC-32, 0 where none is computed. */
async function getRange(
  { s3, bucket, key }: S3Place,
  { descriptor, start, end, etag, signal }: Range,
): Promise<number> {
  const { GetObjectCommand } = await loadS3();
  let position = start;
  let crc = 0;
  const sink: Sink = {
    bytes: end - start,
    restart() {
      position = start;
      crc = 0;
    },
    async write(chunk) {
      crc = crc32?.(chunk, crc) ?? 0;
      let written = 0;
      while (written < chunk.length) {
        const { bytesWritten } = await writeAsync(descriptor, chunk, written, chunk.length - written, position);
        written += bytesWritten;
        position += bytesWritten;
      }
    },
  };
  const options: DirectGet = { abortSignal: signal, sink };
  const range = { Range: `bytes=${start}-${end - 1}`, ...(etag ? { IfMatch: etag } : {}) };
  const answer = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...range }), options);
  if (options.isDone) return crc;
  sink.restart();
  for await (const chunk of answer.Body as AsyncIterable<Buffer>) await sink.write(chunk);
  if (position !== end) throw Object.assign(new Error("the answer was cut short"), { code: "ECONNRESET" });
  return crc;
}

async function etagOf({ s3, bucket, key }: S3Place, bytes: number, signal: AbortSignal | undefined): Promise<string> {
  const { HeadObjectCommand } = await loadS3();
  const head = new HeadObjectCommand({ Bucket: bucket, Key: key });
  const { ETag, ContentLength } = await s3.send(head, signal ? { abortSignal: signal } : {});
  if (ContentLength === bytes) return ETag ?? "";
  throw new UserError("VL_CHECKPOINT_BAD", {
    what: `${key} in the store is damaged.`,
    why: `it has ${ContentLength} bytes instead of ${bytes}.`,
    hint: "use the checkpoint before: vastlane checkpoints ls",
  });
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

/** Says that the disk is too small before it is full: a full disk would hurt the training that goes on beside. */
function requireSpace(partial: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dirname(partial));
  const present = (statSync(partial, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
  const missing = bytes - present - bavail * bsize;
  if (missing <= 0) return;
  const error = new Error(`${bytes} bytes are wanted, ${missing} more than there are`);
  throw Object.assign(error, { code: "ENOSPC" });
}
