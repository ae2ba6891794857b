/**
 * SHA-256 of files, in a thread beside: a gigabyte takes most of a second, in which training, heartbeats and
 * transfers go on. A hash can also follow a file while it is written, so that it is known soon after the last byte.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { Worker } from "node:worker_threads";

/** Smaller files are not worth a thread, whose start takes about 20 ms. */
const SMALL_BYTES = 8 << 20;
const CHUNK_BYTES = 1 << 20;

/** Hex SHA-256 of a file that is there. */
export async function hashFile(path: string): Promise<string> {
  return followHash().finish(path);
}

export interface FollowedHash {
  /** The first `bytes` bytes are in the file at `path`, and will not change. */
  arrived(path: string, bytes: number): void;
  /** The whole file is at `path`, the same one or its new name. Hex. */
  finish(path: string): Promise<string>;
  /** The hash is not wanted any more. */
  stop(): void;
}

export function followHash(): FollowedHash {
  let thread: { worker: Worker; file: number; result: Promise<string> } | undefined;

  function start(path: string) {
    const file = openSync(path, "r");
    const worker = new Worker(FOLLOWER, { eval: true, workerData: { file, chunkBytes: CHUNK_BYTES } });
    const result = new Promise<string>((resolve, reject) => {
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
        if (!thread && bytes < SMALL_BYTES) return hashHere(path);
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
const hash = require("node:crypto").createHash("sha256");
const buffer = Buffer.allocUnsafeSlow(workerData.chunkBytes);
let position = 0;
parentPort.on("message", ({ until, isLast }) => {
  while (position < until) {
    const count = readSync(workerData.file, buffer, 0, Math.min(buffer.length, until - position), position);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    position += count;
  }
  if (isLast) parentPort.postMessage(hash.digest("hex"));
});
`;

function hashHere(path: string): string {
  const file = openSync(path, "r");
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, fstatSync(file).size)));
    for (;;) {
      const count = readSync(file, buffer, 0, buffer.length, null);
      if (count === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, count));
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
