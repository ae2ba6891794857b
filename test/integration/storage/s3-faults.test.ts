/** The faults of the emulated store, as a client meets them, and how they are switched on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { command } from "../../../cli/commands/emulator.ts";
import { createFaults } from "../../../emulator/faults/faults.ts";
import { type EmulatorInfo, emulatorClient, startEmulator, stopEmulator } from "../../../emulator/index.ts";
import type { FaultRecord } from "../../../emulator/state/records.ts";
import { testIo } from "../../helpers/io.ts";
import { type HandClock, handClock, memoryStore } from "../../helpers/market.ts";
import { clientOf, type EmulatedTestS3, startEmulatedS3 } from "../../helpers/s3.ts";

const Bucket = "faults";
const KiB = 1024;

/** Status and code of a refusal; the network's own word where there was no answer. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    const { name, code, $metadata } = error as { name: string; code?: string; $metadata?: { httpStatusCode?: number } };
    return $metadata?.httpStatusCode === undefined ? (code ?? name) : `${$metadata.httpStatusCode} ${name}`;
  }
}

describe("a store with faults", () => {
  let id = 0;
  let clock: HandClock;
  let store: EmulatedTestS3;
  let s3: S3Client;
  let faults: ReturnType<typeof createFaults>;
  const put = (Key = "x", Body: string | Buffer = "text", more = {}) =>
    outcome(s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more })));
  const get = async (Key = "x") => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };

  beforeAll(async () => {
    clock = handClock(Date.now());
    faults = createFaults(
      memoryStore().table<FaultRecord>("fault"),
      () => clock.now() / 1000,
      () => ++id,
    );
    store = await startEmulatedS3({ faults, clock });
    s3 = clientOf(store, { maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
    await put();
  });
  afterEach(() => void faults.clear());
  afterAll(async () => {
    s3?.destroy();
    await store?.stop();
  });

  test("s3-error answers so often as it says, without effect", async () => {
    faults.add("s3-error", { count: 2, params: {} });
    expect([await put("new"), await put("new")]).toEqual(["500 InternalError", "500 InternalError"]);
    expect(await outcome(s3.send(new HeadObjectCommand({ Bucket, Key: "new" })))).toBe("404 NotFound");
  });

  test("s3-error has any status and code, and means the operations that it names", async () => {
    faults.add("s3-error", { params: { status: 403, code: "ExpiredToken", on: "GetObject,ListObjectsV2" } });
    expect(await put()).toBe("done");
    expect(await outcome(get())).toBe("403 ExpiredToken");
    expect(await outcome(get())).toBe("done");
    faults.add("s3-error", { params: { status: 503 } });
    expect(await put()).toBe("503 ServiceUnavailable");
  });

  test("s3-slow-down is what the SDK waits for and tries again", async () => {
    faults.add("s3-slow-down", { count: 2, params: {} });
    expect(await put()).toBe("503 SlowDown");
    const patient = clientOf(store, { maxAttempts: 3 });
    expect(await outcome(patient.send(new ListObjectsV2Command({ Bucket })))).toBe("done");
    patient.destroy();
    expect(faults.list()).toEqual([]);
  });

  test("s3-down closes every connection until its time is over", async () => {
    faults.add("s3-down", { seconds: 30, params: {} });
    expect(await put()).toMatch(/ECONNRESET|EPIPE/);
    expect(await outcome(s3.send(new ListObjectsV2Command({ Bucket })))).toMatch(/ECONNRESET|EPIPE/);
    clock.move(31);
    expect(await put()).toBe("done");
  });

  test("s3-slow takes its time for the answer and for the bytes", async () => {
    const body = Buffer.alloc(256 * KiB, 7);
    faults.add("s3-slow", { params: { ms: 200, bytesPerSecond: 64 * KiB } });
    const before = clock.now();
    expect(await put("slow", body)).toBe("done");
    expect((clock.now() - before) / 1000).toBeCloseTo(4.2, 1);
    expect((await get("slow")).equals(body)).toBe(true);
    expect((clock.now() - before) / 1000).toBeCloseTo(8.4, 1);
  });

  test("s3-torn cuts an upload, of which nothing is kept, and the object before stays", async () => {
    const body = Buffer.alloc(512 * KiB, 7);
    const bytes = store.s3.usage().keptBytes;
    faults.add("s3-torn", { params: { direction: "up" } });
    expect((await get()).toString()).toBe("text");
    expect(await put("x", body)).toMatch(/ECONNRESET|EPIPE/);
    expect((await get()).toString()).toBe("text");
    expect(store.s3.usage().keptBytes).toBe(bytes);
  });

  test("s3-torn cuts a download in its middle, so that the client knows", async () => {
    await put("large", Buffer.alloc(512 * KiB, 7));
    faults.add("s3-torn", { params: { direction: "down" } });
    expect(await put()).toBe("done");
    expect(await outcome(get("large"))).not.toBe("done");
    expect((await get("large")).length).toBe(512 * KiB);
  });

  test("s3-torn cuts a part, and the upload goes on with it", async () => {
    const Key = "parts";
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const part = () => s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: "part" }));
    faults.add("s3-torn", { params: { on: "UploadPart" } });
    expect(await put()).toBe("done");
    expect(await outcome(part())).toMatch(/ECONNRESET|EPIPE/);
    const { ETag } = await part();
    const Parts = [{ PartNumber: 1, ETag }];
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    expect((await get(Key)).toString()).toBe("part");
  });

  test("s3-no-conditions refuses conditional writes and nothing else", async () => {
    faults.add("s3-no-conditions", { params: {} });
    expect(await put("x", "new", { IfNoneMatch: "*" })).toBe("501 NotImplemented");
    expect(await put("x", "new", { IfMatch: '"x"' })).toBe("501 NotImplemented");
    expect(await put("x", "text")).toBe("done");
    expect(await outcome(s3.send(new GetObjectCommand({ Bucket, Key: "x", IfMatch: "*" })))).toBe("done");
  });
});

describe("the emulator", () => {
  let root: string;
  let emulator: EmulatorInfo;
  let s3: S3Client;
  const put = () => outcome(s3.send(new PutObjectCommand({ Bucket, Key: "x", Body: "1" })));

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "vastlane-s3-faults-"));
    emulator = await startEmulator({ home: join(root, "emulator"), noMachines: true, calm: true });
    s3 = clientOf({ ...emulator.s3, stop: async () => {} }, { maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
  });
  afterAll(async () => {
    s3?.destroy();
    await stopEmulator(emulator.home);
    rmSync(root, { recursive: true, force: true });
  });

  test("takes faults of the store from the command line, and lists and clears them there", async () => {
    const io = testIo();
    const vastlane = (...args: string[]) => command.run([...args, "--home", emulator.home], io);
    expect(await vastlane("fault", "s3-error", "--count", "3", "--set", "status=503", "--set", "code=SlowDown")).toBe(
      0,
    );
    expect(await put()).toBe("503 SlowDown");
    await vastlane("fault", "list");
    expect(io.out).toContain('"kind":"s3-error","count":2');
    await vastlane("fault", "clear", "s3-error");
    expect(await put()).toBe("done");
  });

  test("keeps a fault of the store, its uses, its port and its keys over a restart", async () => {
    await emulatorClient(emulator.home).fault("s3-error", { count: 2 });
    expect(await put()).toBe("500 InternalError");
    await stopEmulator(emulator.home);
    const again = await startEmulator({ home: emulator.home, noMachines: true, calm: true });
    expect(again.s3).toEqual(emulator.s3);
    expect([await put(), await put()]).toEqual(["500 InternalError", "done"]);
  });

  test("goes on renting machines while its store is down", async () => {
    const market = emulatorClient(emulator.home);
    await market.fault("s3-down");
    expect(await put()).toMatch(/ECONNRESET|EPIPE/);
    expect((await market.status()).offers).toBeGreaterThan(0);
    expect(await market.clearFaults("s3-down")).toBe(1);
    expect(await put()).toBe("done");
  });
});
