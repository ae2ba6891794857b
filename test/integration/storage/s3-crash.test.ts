/**
 * The emulated store under SIGKILL at any moment: what it has acknowledged is there after a restart, nothing is there
 * in part, and no file stays behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openS3Store } from "../../../emulator/s3/storage/store.ts";
import { clientOf, type TestS3 } from "../../helpers/s3.ts";

const KILLS = 8;
const Bucket = "crash";
const PROGRAM = join(import.meta.dirname, "../../helpers/s3-server.ts");

let folder: string;
let running: ChildProcess | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-s3-crash-"));
});
afterAll(() => {
  running?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Server {
  s3: S3Client;
  /** SIGKILL, and gone. */
  kill(): Promise<void>;
}

async function start(): Promise<Server> {
  const child: ChildProcess = spawn(process.execPath, [PROGRAM, folder], { stdio: ["ignore", "pipe", "inherit"] });
  running = child;
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const [line] = await new Promise<string[]>((done) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).once("line", (text) => done([text]));
  });
  const store = { ...(JSON.parse(line ?? "") as Omit<TestS3, "stop">), stop: async () => {} };
  const s3 = clientOf(store, { maxAttempts: 1 });
  return {
    s3,
    async kill() {
      child.kill("SIGKILL");
      await ended;
      s3.destroy();
    },
  };
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A body that says which one it is, and its SHA-256 beside it. */
function body(count: number, bytes: number) {
  const Body = Buffer.concat([Buffer.from(`${count}\n`), randomBytes(bytes)]);
  return { Body, Metadata: { sha: sha(Body) } };
}

/** The number in an object; it fails when the object is not whole. */
async function numberIn(s3: S3Client, Key: string): Promise<number> {
  try {
    const { Body, Metadata } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
    expect(sha(bytes)).toBe(Metadata?.sha);
    return Number(bytes.subarray(0, bytes.indexOf(10)).toString());
  } catch (error) {
    if ((error as Error).name === "NoSuchKey") return 0;
    throw error;
  }
}

/** Writers of every kind; each notes what was acknowledged to it. */
const WRITERS: Record<string, (s3: S3Client, Key: string, count: number) => Promise<unknown>> = {
  small: (s3, Key, count) => s3.send(new PutObjectCommand({ Bucket, Key, ...body(count, 100) })),
  large: (s3, Key, count) => s3.send(new PutObjectCommand({ Bucket, Key, ...body(count, 3 << 20) })),
  async parts(s3, Key, count) {
    const { Body, Metadata } = body(count, 6 << 20);
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, Metadata }));
    const cut = 5 << 20;
    const Parts = [];
    for (const [index, part] of [Body.subarray(0, cut), Body.subarray(cut)].entries()) {
      const PartNumber = index + 1;
      const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: part }));
      Parts.push({ PartNumber, ETag });
    }
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  },
  async swap(s3, Key, count) {
    // Deleted and made again: in between it is gone, and then it counts from where it was.
    await s3.send(new PutObjectCommand({ Bucket, Key: `${Key}.next`, ...body(count, 1000) }));
    await s3.send(new DeleteObjectCommand({ Bucket, Key }));
    await s3.send(new PutObjectCommand({ Bucket, Key, ...body(count, 1000) }));
  },
};

test(`after ${KILLS} SIGKILLs while it writes, all that was acknowledged is there, whole, and nothing else`, async () => {
  const acknowledged: Record<string, number> = {};
  let server = await start();
  await server.s3.send(new CreateBucketCommand({ Bucket }));
  await server.s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
  for (let kill = 0; kill < KILLS; kill++) {
    let isOver = false;
    const { s3 } = server;
    const work = Object.entries(WRITERS).map(async ([Key, write]) => {
      for (let count = (acknowledged[Key] ?? 0) + 1; !isOver; count++) {
        try {
          await write(s3, Key, count);
          acknowledged[Key] = count;
        } catch {
          return; // killed
        }
      }
    });
    // The first time each of them comes to its end once; then at any moment.
    while (kill === 0 && Object.keys(WRITERS).some((Key) => acknowledged[Key] === undefined)) await pause(20);
    await pause(50 + Math.random() * 300);
    await server.kill();
    isOver = true;
    await Promise.all(work);
    server = await start();
    for (const Key of Object.keys(WRITERS)) {
      const found = await numberIn(server.s3, Key === "swap" ? "swap.next" : Key);
      // The one under way may have happened, or not.
      expect([acknowledged[Key] ?? 0, (acknowledged[Key] ?? 0) + 1]).toContain(found);
      acknowledged[Key] = found;
    }
  }
  const { Versions = [] } = await server.s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: "small" }));
  expect(new Set(Versions.map(({ VersionId }) => VersionId)).size).toBe(Versions.length);
  await server.kill();

  const store = await openS3Store(folder);
  const bucket = store.bucket(Bucket);
  const data = join(folder, "buckets", Bucket, "data");
  expect(new Set(readdirSync(data))).toEqual(bucket.contents.files());
  const bytes = readdirSync(data).reduce((sum, name) => sum + statSync(join(data, name)).size, 0);
  expect(bytes).toBe(bucket.contents.sizes().keptBytes);
  await store.close();
});
