/** The store's faults on a clock in the test's hand, from the command line, and over a restart. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
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
  const put = (Key = "x", Body: string | Buffer = "text") =>
    outcome(s3.send(new PutObjectCommand({ Bucket, Key, Body })));
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

  test("s3-slow takes its time for the answer and for the bytes", async () => {
    const body = Buffer.alloc(256 * KiB, 7);
    faults.add("s3-slow", { params: { ms: 200, bytesPerSecond: 64 * KiB } });
    const before = clock.now();
    expect(await put("slow", body)).toBe("done");
    expect((clock.now() - before) / 1000).toBeCloseTo(4.2, 1);
    expect((await get("slow")).equals(body)).toBe(true);
    expect((clock.now() - before) / 1000).toBeCloseTo(8.4, 1);
  });

  test("s3-torn may be for one direction only", async () => {
    await put("down");
    faults.add("s3-torn", { params: { direction: "down" } });
    expect(await put("up")).toBe("done");
    expect(await outcome(get("down"))).not.toBe("done");
    faults.add("s3-torn", { params: { direction: "up" } });
    expect((await get("down")).toString()).toBe("text");
    expect(await put("up")).toMatch(/ECONNRESET|EPIPE/);
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
