/**
 * Sums of files, in a thread beside: SHA-256 of a gigabyte takes most of a second, in which training, heartbeats and
 * transfers go on. They can also follow a file while it is written, so that they are known soon after the last byte.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { crc32, crcText } from "../store/index.ts";

/** Smaller files are not worth a thread, whose start takes about 20 ms. */
const SMALL_BYTES = 8 << 20;
const CHUNK_BYTES = 1 << 20;

export interface Sums {
  /** Hex. */
  sha256: string;
  /** 8 hex digits; missing where Node has no CRC-32. */
  crc32?: string;
}

/** The sums of a file that is there. */
export async function sumFile(path: string): Promise<Sums> {
  return followSums().finish(path);
}

export interface FollowedSums {
  /** The first `bytes` bytes are in the file at `path`, and will not change. */
  arrived(path: string, bytes: number): void;
  /** The whole file is at `path`, the same one or its new name. */
  finish(path: string): Promise<Sums>;
  /** The sums are not wanted any more. */
  stop(): void;
}

export function followSums(): FollowedSums {
  let thread: { worker: Worker; file: number; result: Promise<Sums> } | undefined;

  function start(path: string) {
    const file = openSync(path, "r");
    const worker = new Worker(FOLLOWER, { eval: true, workerData: { file, chunkBytes: CHUNK_BYTES } });
    const result = new Promise<Sums>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", () => reject(new Error("the thread that hashes a file has ended")));
    });
    result.catch(() => {}); // asked for at the end
    return { worker, file, result };
  }

  function stop(): void {
    if (!thread) return;
    const { worker, file } = thread;
    thread = undefined;
    // The descriptor number must not be used anew while the thread may still read.
    void worker.terminate().finally(() => closeSync(file));
  }

  return {
    arrived(path, bytes) {
      if (bytes < SMALL_BYTES) return;
      thread ??= start(path);
      thread.worker.postMessage({ until: bytes });
    },
    async finish(path) {
      try {
        const bytes = sizeOf(path);
        if (!thread && bytes < SMALL_BYTES) return sumHere(path);
        thread ??= start(path);
        thread.worker.postMessage({ until: bytes, isLast: true });
        return await thread.result;
      } finally {
        stop();
      }
    },
    stop,
  };
}

/** Plain JavaScript, as it must run from the source tree and from within a bundle alike. */
const FOLLOWER = `
const { parentPort, workerData } = require("node:worker_threads");
const { readSync } = require("node:fs");
const { crc32 } = require("node:zlib");
const hash = require("node:crypto").createHash("sha256");
let crc = 0;
const buffer = Buffer.allocUnsafeSlow(workerData.chunkBytes);
let position = 0;
parentPort.on("message", ({ until, isLast }) => {
  while (position < until) {
    const count = readSync(workerData.file, buffer, 0, Math.min(buffer.length, until - position), position);
    if (count === 0) break;
    const chunk = buffer.subarray(0, count);
    hash.update(chunk);
    if (crc32) crc = crc32(chunk, crc);
    position += count;
  }
  const text = crc.toString(16).padStart(8, "0");
  if (isLast) parentPort.postMessage({ sha256: hash.digest("hex"), ...(crc32 ? { crc32: text } : {}) });
});
`;

function sumHere(path: string): Sums {
  const file = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    let crc = 0;
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, fstatSync(file).size)));
    for (;;) {
      const count = readSync(file, buffer, 0, buffer.length, null);
      if (count === 0) return { sha256: hash.digest("hex"), ...(crc32 ? { crc32: crcText(crc) } : {}) };
      const chunk = buffer.subarray(0, count);
      hash.update(chunk);
      crc = crc32?.(chunk, crc) ?? 0;
    }
  } finally {
    closeSync(file);
  }
}

function sizeOf(path: string): number {
  const file = openSync(path, "r");
  try {
    return fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}
