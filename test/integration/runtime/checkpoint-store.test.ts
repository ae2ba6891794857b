/**
 * Checkpoints against real S3 servers: the emulated one and versitygw, with the same assertions. What tests with a
 * store in memory cannot show: signatures, conditions, ranges and multipart as others implement them, and that a
 * plain S3 client can fetch a checkpoint and see that it is whole.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CheckpointManager, listStored, type Tensors } from "../../../runtime/checkpoint/index.ts";
import { type OpenStore, openStore, type StoreAccess } from "../../../runtime/store/index.ts";
import { pythonVenv } from "../../helpers/python.ts";
import { makeBucket, startEmulatedS3, startVersitygw, type TestS3, versitygw } from "../../helpers/s3.ts";

const MiB = 1 << 20;
const BUCKET = "checkpoints-here";
const venv = await pythonVenv();
const program = await versitygw();
const starts: [name: string, start: () => Promise<TestS3>, skip: string | undefined][] = [
  ["the emulated store", startEmulatedS3, undefined],
  ["versitygw", startVersitygw as () => Promise<TestS3>, "skip" in program ? program.skip : undefined],
];

for (const [name, start, skip] of starts) {
  describe.skipIf(skip !== undefined)(skip ? `${name} (${skip})` : name, () => suite(start));
}

function suite(start: () => Promise<TestS3>): void {
  let server: TestS3;
  let dir: string;
  let run = 0;
  let access: StoreAccess;
  let store: OpenStore;
  beforeAll(async () => {
    server = await start();
    await makeBucket(server, BUCKET);
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "vastlane-checkpoints-"));
    run += 1;
    const { endpoint, region, accessKeyId, secretAccessKey } = server;
    access = { endpoint, region, accessKeyId, secretAccessKey, bucket: BUCKET, prefix: `team/run-${run}` };
    store = openStore(access);
  });
  afterEach(() => {
    store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const manager = (name: string) =>
    new CheckpointManager({
      localDir: join(dir, name),
      remoteBucket: BUCKET,
      remotePrefix: access.prefix,
      endpoint: server.endpoint,
      region: server.region,
      credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
      env: {},
      log: () => {},
    });
  const patterned = (bytes: number) => {
    const content = Buffer.alloc(bytes);
    for (let i = 0; i + 4 <= bytes; i += 1021) content.writeUInt32LE(i, i);
    return content;
  };

  test("writes on a condition hold, and the store says when something was written by its own clock", async () => {
    expect(await store.hasConditions()).toBe(true);
    const { etag } = await store.put("lease.json", "1", { ifNoneMatch: "*" });
    await expect(store.put("lease.json", "2", { ifNoneMatch: "*" })).rejects.toMatchObject({ name: "ConditionFailed" });
    await store.put("lease.json", "2", { ifMatch: etag });
    await expect(store.put("lease.json", "3", { ifMatch: etag })).rejects.toMatchObject({ name: "ConditionFailed" });
    const found = await store.get("lease.json");
    expect(found?.body.toString()).toBe("2");
    const ageMs = (found?.storeNowMs ?? 0) - (found?.lastModifiedMs ?? 0);
    expect(ageMs).toBeGreaterThanOrEqual(-1000); // one of the two is rounded up by some stores
    expect(ageMs).toBeLessThan(60_000);
    expect((await store.list("")).map(({ key }) => key)).toEqual(["lease.json"]);
  });

  test("of many writers at once, one has its way", async () => {
    const writers = Array.from({ length: 8 }, (_, i) => store.put("race.json", `${i}`, { ifNoneMatch: "*" }));
    const results = await Promise.allSettled(writers);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("keys of any letters, and files of any size, go there and back", async () => {
    for (const [key, bytes] of [
      ["empty", 0],
      ["a b+c/ä(1)'!*.bin", 1000],
      ["large", 35 * MiB + 3],
    ] as const) {
      writeFileSync(join(dir, "file"), patterned(bytes));
      await store.upload(key, join(dir, "file"));
      const sums: number[] = [];
      await store.download(key, join(dir, "out"), bytes, { onCrc32: (crc) => sums.push(crc) });
      expect(readFileSync(join(dir, "out")).equals(patterned(bytes))).toBe(true);
      expect(sums).toHaveLength(1);
    }
    expect((await store.list("")).map(({ bytes }) => bytes)).toEqual([1000, 0, 35 * MiB + 3]);
    await store.delete(["a b+c/ä(1)'!*.bin", "empty", "large", "never"]);
    expect(await store.list("")).toEqual([]);
    expect(readdirSync(dir).sort()).toEqual(["file", "out"]);
  });

  test("an upload and a download that were stopped go on", async () => {
    const content = patterned(50 * MiB);
    writeFileSync(join(dir, "file"), content);
    const stopAfter = (bytes: number) => {
      const stop = new AbortController();
      let moved = 0;
      return {
        signal: stop.signal,
        onProgress: (more: number) => {
          moved += more;
          if (moved >= bytes) stop.abort(new Error("stopped"));
        },
      };
    };
    await expect(store.upload("large", join(dir, "file"), stopAfter(20 * MiB))).rejects.toThrow("stopped");
    const again: number[] = [];
    await store.upload("large", join(dir, "file"), { onProgress: (bytes) => again.push(bytes) });
    expect(again.reduce((sum, bytes) => sum + bytes)).toBe(content.length);
    await expect(store.download("large", join(dir, "out"), content.length, stopAfter(16 * MiB))).rejects.toThrow(
      "stopped",
    );
    await store.download("large", join(dir, "out"), content.length);
    expect(readFileSync(join(dir, "out")).equals(content)).toBe(true);
  });

  test("a checkpoint is saved, uploaded, listed and loaded elsewhere, bit for bit", async () => {
    const data = new Float32Array(6 * MiB);
    for (let i = 0; i < data.length; i += 1001) data[i] = i;
    const tensors: Tensors = { w: { dtype: "F32", shape: [data.length], data } };
    const here = manager("here");
    for (const step of [100, 200]) {
      await here.save({ step, tensors, state: { step }, metrics: { loss: 1 / step } });
      await here.uploadLatest();
    }
    here.close();
    expect(await listStored(store)).toMatchObject([
      { id: "step-00000100.e00000", isInLineage: true, isHead: false, problem: undefined },
      { id: "step-00000200.e00000", isInLineage: true, isHead: true, problem: undefined },
    ]);
    const there = manager("there");
    const loaded = await there.loadLatest();
    there.close();
    expect(loaded).toMatchObject({ step: 200, state: { step: 200 }, metrics: { loss: 0.005 } });
    expect(Buffer.compare(Buffer.from(loaded?.tensors.w?.data.buffer as ArrayBuffer), Buffer.from(data.buffer))).toBe(
      0,
    );
  });

  test.runIf(venv.ok)("a plain S3 client fetches a checkpoint and sees that it is whole", async () => {
    const here = manager("here");
    await here.save({ step: 1, tensors: { w: { dtype: "I32", shape: [3], data: new Int32Array([1, -2, 3]) } } });
    await here.uploadLatest();
    here.close();
    const target = join(dir, "fetched");
    mkdirSync(target);
    const text = `
import os, sys, boto3
from safetensors.numpy import load_file
endpoint, region, key, secret, bucket, prefix, target = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret)
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
    for item in page["Contents"]:
        s3.download_file(bucket, item["Key"], os.path.join(target, item["Key"][len(prefix):]))
print(load_file(os.path.join(target, "tensors.safetensors"))["w"].tolist())
`;
    const { endpoint, region, accessKeyId, secretAccessKey } = server;
    const prefix = `${access.prefix}/checkpoints/step-00000001.e00000/`;
    const args = [endpoint, region, accessKeyId, secretAccessKey, BUCKET, prefix, target];
    expect(venv.ok && (await venv.run(text, ...args))).toBe("[1, -2, 3]");
    expect(execFileSync("sha256sum", ["-c", "SHA256SUMS"], { cwd: target, encoding: "utf8" })).toBe(
      "state.json: OK\ntensors.safetensors: OK\n",
    );
  });

  test("wrong keys and a missing bucket are said", async () => {
    const refused = async (more: Partial<StoreAccess>) => {
      const other = openStore({ ...access, ...more }, { retryMs: 0 });
      try {
        return await other.get("x").then(
          () => undefined,
          (error) => error.code,
        );
      } finally {
        other.close();
      }
    };
    expect(await refused({ secretAccessKey: "wrong" })).toBe("VL_STORE_DENIED");
    expect(await refused({ accessKeyId: "nobody" })).toBe("VL_STORE_DENIED");
    expect(await refused({ bucket: "no-such-bucket" })).toBe("VL_STORE_NO_BUCKET");
  });
}
