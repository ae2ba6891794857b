/** The emulator's own store as a stack uses it: its bucket, and what the keys that a machine gets may do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createS3 } from "../../../common/s3.ts";
import { type EmulatorInfo, startEmulator, stopEmulator } from "../../../emulator/index.ts";
import { parseConfig } from "../../../infra/config.ts";
import { resolveStore, type Store, s3AccessOf } from "../../../infra/storage/access.ts";
import { type BucketInputs, bucketHandlers } from "../../../infra/storage/bucket-handlers.ts";
import { lookAtKept } from "../../../infra/storage/kept.ts";
import { runAccess, type StoreFile } from "../../../infra/storage/run-access.ts";
import { markRun, readRunRecord } from "../../../infra/storage/run-record.ts";
import { resolveMarket } from "../../../infra/vast/market.ts";

const BUCKET = "checkpoints";
const INPUTS: BucketInputs = {
  stack: "t",
  market: "emulator",
  bucket: BUCKET,
  endpoint: null,
  region: null,
  oldVersionDays: 30,
};

let root: string;
let emulator: EmulatorInfo;
let env: NodeJS.ProcessEnv;
let store: Store;
let own: S3Client;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "vastlane-emulated-"));
  emulator = await startEmulator({ home: join(root, "emulator"), noMachines: true, calm: true });
  env = { VASTLANE_EMULATOR_HOME: emulator.home };
  const config = parseConfig({ market: "emulator", checkpoint: { store: "s3", s3_bucket: BUCKET, s3_prefix: "ck" } });
  store = resolveStore(config, root, env) as Store;
  own = await createS3(s3AccessOf(store));
});
afterAll(async () => {
  own?.destroy();
  await stopEmulator(emulator.home);
  rmSync(root, { recursive: true, force: true });
});

test("before anything is made there is no bucket, no record and nothing kept", async () => {
  expect(await readRunRecord(store, "dev/train")).toBe("no-bucket");
  expect(await markRun(store, "dev/train", "fresh", new Date())).toBe(false);
  expect(await lookAtKept(store, "dev")).toBeUndefined();
});

test("the bucket is made with the settings that the emulator has, and the others are named", async () => {
  const { outs } = await bucketHandlers({ root, stateDir: root, env }).create(INPUTS);
  expect(outs.created).toBe(true);
  expect(outs.settings.versioning).toBe("on");
  expect(outs.lacks).toEqual([
    "bucket checkpoints: the endpoint does not support public access block, encryption, lifecycle",
  ]);
  expect((await own.send(new GetBucketVersioningCommand({ Bucket: BUCKET }))).Status).toBe("Enabled");
  expect(JSON.stringify(outs)).not.toContain(emulator.s3.secretAccessKey);
  expect(JSON.stringify(outs)).not.toContain(emulator.s3.accessKeyId);
});

describe("the keys that a machine gets", () => {
  const RUN = "dev/train";
  let file: StoreFile;
  let client: S3Client;
  const put = (Key: string) => client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: "x" }));
  const denied = (promise: Promise<unknown>) => expect(promise).rejects.toMatchObject({ name: "AccessDenied" });

  beforeAll(async () => {
    const options = { runId: RUN, market: () => resolveMarket("emulator", root, env), env };
    ({ file } = await runAccess(store, options));
    expect((await runAccess(store, options)).file).toEqual(file);
    client = await createS3(file);
  });
  afterAll(() => client?.destroy());

  test("are not those of the store's owner, and name the run's place", () => {
    expect(file).toMatchObject({ bucket: BUCKET, prefix: "ck/dev/train", emulated: true, endpoint: store.endpoint });
    expect(file.accessKeyId).not.toBe(emulator.s3.accessKeyId);
  });

  test("read, write, list and delete below the run's prefix", async () => {
    await put("ck/dev/train/a");
    await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: "ck/dev/train/a" }));
    const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "ck/dev/train/" }));
    expect(KeyCount).toBe(1);
    await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "ck/dev/train/a" }));
  });

  test("reach nothing of another run or stack", async () => {
    await own.send(new PutObjectCommand({ Bucket: BUCKET, Key: "ck/prod/train/a", Body: "x" }));
    await denied(put("ck/prod/train/b"));
    await denied(put("ck/dev/train2/b"));
    await denied(client.send(new GetObjectCommand({ Bucket: BUCKET, Key: "ck/prod/train/a" })));
    await denied(client.send(new ListObjectsV2Command({ Bucket: BUCKET })));
  });

  test("can neither delete a version nor stop versions from being kept", async () => {
    await put("ck/dev/train/v");
    const { Versions = [] } = await own.send(
      new ListObjectVersionsCommand({ Bucket: BUCKET, Prefix: "ck/dev/train/v" }),
    );
    const [version] = Versions;
    await denied(
      client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "ck/dev/train/v", VersionId: version?.VersionId })),
    );
    await denied(
      client.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: "Suspended" } })),
    );
  });
});

describe("the record of a run", () => {
  const KEY = "ck/dev/train/run.json";
  const write = (text: string) => own.send(new PutObjectCommand({ Bucket: BUCKET, Key: KEY, Body: text }));
  const RECORD = {
    format: 1,
    runId: "dev/train",
    status: "done",
    generation: 4,
    epoch: 7,
    codeHash: "c",
    paramsHash: "p",
    params: { lr: 1 },
    spentUsd: 2,
    startedAt: "2026-11-24T08:00:00.000Z",
    updatedAt: "2026-11-24T09:00:00.000Z",
    finishedAt: "2026-11-24T09:00:00.000Z",
    finalStep: 9,
    reason: null,
    writeId: "w",
  };
  const NOW = new Date("2026-11-25T00:00:00.000Z");

  test("asked to begin anew keeps everything else as it was", async () => {
    await write(JSON.stringify(RECORD));
    expect(await markRun(store, "dev/train", "fresh", NOW)).toBe(true);
    expect(await readRunRecord(store, "dev/train")).toEqual({
      ...RECORD,
      status: "fresh",
      updatedAt: NOW.toISOString(),
      writeId: expect.not.stringMatching(/^w$/),
    });
  });

  test("that is damaged is an error with a way out, and that way works", async () => {
    await write('{"format":1,"runId":');
    await expect(readRunRecord(store, "dev/train")).rejects.toMatchObject({
      code: "VL_CHECKPOINT_BAD",
      hint: expect.stringContaining("--fresh"),
    });
    expect(await markRun(store, "dev/train", "fresh", NOW)).toBe(true);
    expect(await readRunRecord(store, "dev/train")).toMatchObject({ status: "fresh", generation: 0 });
  });

  test("of a newer vastlane is never overwritten", async () => {
    await write(JSON.stringify({ ...RECORD, format: 2 }));
    await expect(markRun(store, "dev/train", "fresh", NOW)).rejects.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
    const { Body } = await own.send(new GetObjectCommand({ Bucket: BUCKET, Key: KEY }));
    expect(JSON.parse((await Body?.transformToString()) ?? "")).toMatchObject({ format: 2, status: "done" });
  });

  test("loses no change that somebody makes at the same moment", async () => {
    await write(JSON.stringify(RECORD));
    const marks = await Promise.all(Array.from({ length: 4 }, () => markRun(store, "dev/train", "fresh", NOW)));
    expect(marks).toEqual([true, true, true, true]);
    expect(await readRunRecord(store, "dev/train")).toMatchObject({ status: "fresh", spentUsd: 2 });
  });
});

test("what a destroy keeps is counted", async () => {
  expect(await lookAtKept(store, "dev")).toEqual({
    bucket: BUCKET,
    endpoint: store.endpoint,
    isEmulated: true,
    prefix: "ck/dev/",
    objects: 2,
    isMore: false,
  });
  const away = { ...store, endpoint: "http://127.0.0.1:9" };
  expect(await lookAtKept(away, "dev")).toMatchObject({ objects: null });
});
