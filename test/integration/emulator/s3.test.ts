/** The store as the daemon serves it: its keys, its faults, what survives a kill, and what machines see of it. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readFileIfThere } from "../../../common/files.ts";
import { emulatorStatus, stopEmulator } from "../../../emulator/index.ts";
import { rentOne, startTestEmulator, type TestEmulator, until } from "../../helpers/emulator.ts";
import { freePort } from "../../helpers/ports.ts";
import { clientOf, startEmulatedS3 } from "../../helpers/s3.ts";

const Bucket = "checkpoints";
let emulator: TestEmulator;
let s3: S3Client;

beforeEach(async () => {
  emulator = await startTestEmulator();
  s3 = client();
  await s3.send(new CreateBucketCommand({ Bucket }));
});

/** A client that tries once, with the root pair or another. */
function client(keys = {}, of = emulator): S3Client {
  const made = clientOf({ ...of.info.s3, ...keys, stop: async () => {} }, { maxAttempts: 1 });
  onTestFinished(() => made.destroy());
  return made;
}

async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "done";
  } catch (error) {
    const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
    return `${$metadata?.httpStatusCode ?? "no answer"} ${name}`;
  }
}

const put = (Key: string, Body: string | Buffer = "1", of = s3) => of.send(new PutObjectCommand({ Bucket, Key, Body }));
const get = async (Key: string, of = s3) => {
  const { Body } = await of.send(new GetObjectCommand({ Bucket, Key }));
  return (await Body?.transformToString()) ?? "";
};
const files = (home: string) => readdirSync(join(home, "s3", "buckets", Bucket, "data"));

test("says what it holds", async () => {
  await put("a", "12345");
  const status = await emulator.admin.status();
  expect(status.s3).toEqual({ buckets: 1, objects: 1, bytes: 5, keptBytes: 5 });
  expect((await emulatorStatus(emulator.home))?.s3).toEqual({ ...emulator.info.s3, ...status.s3 });
});

describe("keys of a run", () => {
  let run: S3Client;
  beforeEach(async () => {
    const Status = "Enabled";
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
    run = client(await emulator.admin.s3Keys(Bucket, "runs/a/"));
  });

  test("are the same for the same prefix, also after a restart, and others for another", async () => {
    const keys = await emulator.admin.s3Keys(Bucket, "runs/a");
    expect(Object.keys(keys).sort()).toEqual(["accessKeyId", "secretAccessKey"]);
    expect(await emulator.admin.s3Keys(Bucket, "runs/b")).not.toEqual(keys);
    await emulator.kill();
    await emulator.start();
    expect(await emulator.admin.s3Keys(Bucket, "/runs/a/")).toEqual(keys);
    expect(await outcome(put("runs/a/x", "1", run))).toBe("done");
  });

  test("are given to the account's key only, for a bucket and a prefix", async () => {
    const path = "/_emulator/s3/keys";
    expect((await emulator.call("POST", path, { bucket: Bucket, prefix: "a" }, "other")).status).toBe(401);
    expect((await emulator.call("POST", path, { bucket: Bucket })).status).toBe(400);
  });

  test("list, read, write, upload in parts and delete below the prefix", async () => {
    const Key = "runs/a/x";
    await put(Key, "text", run);
    expect(await get(Key, run)).toBe("text");
    const { Contents } = await run.send(new ListObjectsV2Command({ Bucket, Prefix: "runs/a/" }));
    expect(Contents?.map((one) => one.Key)).toEqual([Key]);
    expect(await outcome(get("runs/a/none", run))).toBe("404 NoSuchKey");
    const { UploadId } = await run.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const part = { Bucket, Key, UploadId, PartNumber: 1 };
    const { ETag } = await run.send(new UploadPartCommand({ ...part, Body: "parts" }));
    await run.send(new ListPartsCommand({ Bucket, Key, UploadId }));
    await run.send(new ListMultipartUploadsCommand({ Bucket, Prefix: "runs/a/" }));
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    await run.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }));
    const second = await run.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    await run.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: second.UploadId }));
    await run.send(new CopyObjectCommand({ Bucket, Key: "runs/a/y", CopySource: `${Bucket}/${Key}` }));
    await run.send(new DeleteObjectCommand({ Bucket, Key: "runs/a/y" }));
    const Objects = [{ Key }, { Key: "runs/b/x" }];
    const many = await run.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(many.Deleted?.map((one) => one.Key)).toEqual([Key]);
    expect(many.Errors?.map(({ Key: key, Code }) => [key, Code])).toEqual([["runs/b/x", "AccessDenied"]]);
  });

  test("open nothing else", async () => {
    await put("runs/b/x");
    await put("runs/ab");
    const { VersionId } = await put("runs/a/x");
    const Other = "other-bucket";
    await s3.send(new CreateBucketCommand({ Bucket: Other }));
    const tries: Record<string, () => Promise<unknown>> = {
      "another prefix": () => get("runs/b/x", run),
      "a prefix that only begins alike": () => get("runs/ab", run),
      "writing elsewhere": () => put("runs/b/y", "1", run),
      "deleting elsewhere": () => run.send(new DeleteObjectCommand({ Bucket, Key: "runs/b/x" })),
      "copying from elsewhere": () =>
        run.send(new CopyObjectCommand({ Bucket, Key: "runs/a/y", CopySource: `${Bucket}/runs/b/x` })),
      "listing all": () => run.send(new ListObjectsV2Command({ Bucket })),
      "listing another": () => run.send(new ListObjectsV2Command({ Bucket, Prefix: "runs/b/" })),
      "listing what begins alike": () => run.send(new ListObjectsV2Command({ Bucket, Prefix: "runs/a" })),
      "listing uploads": () => run.send(new ListMultipartUploadsCommand({ Bucket })),
      "deleting a version": () => run.send(new DeleteObjectCommand({ Bucket, Key: "runs/a/x", VersionId })),
      "listing versions": () => run.send(new ListObjectVersionsCommand({ Bucket, Prefix: "runs/a/" })),
      versioning: () =>
        run.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Suspended" } })),
      tags: () => run.send(new GetObjectTaggingCommand({ Bucket, Key: "runs/a/x" })),
      "the bucket": () => run.send(new HeadBucketCommand({ Bucket })),
      "the list of buckets": () => run.send(new ListBucketsCommand({})),
      "a bucket of its own": () => run.send(new CreateBucketCommand({ Bucket: "mine" })),
      "another bucket": () => run.send(new PutObjectCommand({ Bucket: Other, Key: "runs/a/x", Body: "1" })),
      "a bucket that is not there": () => run.send(new PutObjectCommand({ Bucket: "no", Key: "runs/a/x", Body: "1" })),
    };
    for (const [what, attempt] of Object.entries(tries))
      expect([what, (await outcome(attempt())).slice(0, 3)]).toEqual([what, "403"]);
    const Objects = [{ Key: "runs/a/x", VersionId }];
    const { Errors } = await run.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(Errors?.[0]?.Code).toBe("AccessDenied");
    expect(await get("runs/a/x")).toBe("1");
  });
});

describe("a killed daemon", () => {
  test("has all that it had answered, at the same address, and nothing half", async () => {
    const { endpoint } = emulator.info.s3;
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: "big" }));
    const part = { Bucket, Key: "big", UploadId };
    const { ETag } = await s3.send(new UploadPartCommand({ ...part, PartNumber: 1, Body: "x".repeat(5 << 20) }));
    const written = new Set<string>();
    const writing = Array.from({ length: 16 }, async (_, writer) => {
      for (let count = 0; ; count++) {
        const key = `w${writer}/${count}`;
        if ((await outcome(put(key, key.repeat(1000)))) !== "done") return;
        written.add(key);
      }
    });
    const cut = outcome(s3.send(new UploadPartCommand({ ...part, PartNumber: 2, Body: randomBytes(30 << 20) })));
    await until(async () => written.size > 50);
    await emulator.kill();
    await Promise.all([...writing, cut]);
    await emulator.start();
    expect(emulator.info.s3.endpoint).toBe(endpoint);
    s3 = client();
    for (const key of written) expect(await get(key)).toBe(key.repeat(1000));
    const { Parts } = await s3.send(new ListPartsCommand(part));
    expect(Parts?.map(({ PartNumber }) => PartNumber)).toContain(1);
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
    await s3.send(new CompleteMultipartUploadCommand({ ...part, MultipartUpload }));
    expect((await get("big")).length).toBe(5 << 20);
    // Each object has its file and there is no other: what was cut off is gone.
    const { s3: usage } = await emulator.admin.status();
    expect(files(emulator.home).length).toBe(usage?.objects);
  });

  test("that is stopped in order keeps everything as well", async () => {
    await put("a", "kept");
    await stopEmulator(emulator.home);
    await emulator.start();
    s3 = client();
    expect(await get("a")).toBe("kept");
  });
});

describe("faults", () => {
  test("s3-error answers what it was told, so often, without effect", async () => {
    await emulator.admin.fault("s3-error", { status: 503, count: 2 });
    await emulator.admin.fault("s3-error", { status: 403, code: "ExpiredToken" });
    expect(await outcome(put("a"))).toBe("503 ServiceUnavailable");
    expect(await outcome(put("a"))).toBe("503 ServiceUnavailable");
    expect(await outcome(put("a"))).toBe("403 ExpiredToken");
    expect(await outcome(get("a"))).toBe("404 NoSuchKey");
  });

  test("s3-error can mean one operation", async () => {
    await emulator.admin.fault("s3-error", { on: "GetObject,HeadObject" });
    expect(await outcome(put("a"))).toBe("done");
    expect(await outcome(get("a"))).toBe("500 InternalError");
    expect(await outcome(get("a"))).toBe("done");
  });

  test("s3-slow-down asks for patience, which the SDK has", async () => {
    await emulator.admin.fault("s3-slow-down", { count: 2 });
    expect(await outcome(put("a"))).toBe("503 SlowDown");
    const patient = clientOf({ ...emulator.info.s3, stop: async () => {} });
    onTestFinished(() => patient.destroy());
    expect(await outcome(put("a", "1", patient))).toBe("done");
  });

  test("s3-down closes connections until it is over", async () => {
    await emulator.admin.fault("s3-down", { seconds: 3600 });
    expect(await outcome(put("a"))).toMatch(/^no answer/);
    expect((await emulator.admin.status()).contracts).toBe(0);
    await emulator.admin.clock({ advanceSeconds: 3601 });
    expect(await outcome(put("a"))).toBe("done");
  });

  test("s3-no-conditions answers 501 to conditional writes, and only to them", async () => {
    await emulator.admin.fault("s3-no-conditions");
    const conditional = (more: object) => s3.send(new PutObjectCommand({ Bucket, Key: "a", Body: "1", ...more }));
    expect(await outcome(conditional({ IfNoneMatch: "*" }))).toBe("501 NotImplemented");
    expect(await outcome(conditional({ IfMatch: '"x"' }))).toBe("501 NotImplemented");
    const { ETag } = await put("a");
    expect(await outcome(s3.send(new DeleteObjectCommand({ Bucket, Key: "a", IfMatch: ETag })))).toBe(
      "501 NotImplemented",
    );
    expect(await outcome(s3.send(new GetObjectCommand({ Bucket, Key: "a", IfMatch: ETag })))).toBe("done");
    await emulator.admin.clearFaults("s3-no-conditions");
    expect(await outcome(conditional({ IfNoneMatch: "*" }))).toBe("412 PreconditionFailed");
  });

  test("s3-torn cuts an upload in the middle, and leaves nothing of it", async () => {
    await emulator.admin.fault("s3-torn");
    expect(await outcome(put("a", randomBytes(3 << 20)))).toMatch(/^no answer/);
    expect(await outcome(get("a"))).toBe("404 NoSuchKey");
    await until(async () => files(emulator.home).length === 0);
  });

  test("s3-torn cuts a download in the middle", async () => {
    await put("a", "x".repeat(3 << 20));
    await emulator.admin.fault("s3-torn", { on: "GetObject" });
    const { Body, ContentLength } = await s3.send(new GetObjectCommand({ Bucket, Key: "a" }));
    expect(ContentLength).toBe(3 << 20);
    await expect(Body?.transformToByteArray()).rejects.toThrow();
    expect((await get("a")).length).toBe(3 << 20);
  });

  test("s3-slow takes its time, each answer and each byte", async () => {
    await put("a", "x".repeat(200_000));
    const timed = async (work: () => Promise<unknown>) => {
      const start = Date.now();
      await work();
      return Date.now() - start;
    };
    await emulator.admin.fault("s3-slow", { ms: 300 });
    expect(await timed(() => get("a"))).toBeGreaterThan(290);
    await emulator.admin.clearFaults("s3-slow");
    await emulator.admin.fault("s3-slow", { bytesPerSecond: 400_000 });
    expect(await timed(() => get("a"))).toBeGreaterThan(450);
    expect(await timed(() => put("b", "x".repeat(200_000)))).toBeGreaterThan(450);
  });
});

test("a port that is taken is named, with the flag that gives another", async () => {
  const port = await freePort();
  const other = createServer().listen(port, "127.0.0.1");
  onTestFinished(() => void other.close());
  await expect(startTestEmulator({ s3Port: port })).rejects.toMatchObject({
    code: "VL_PORT_IN_USE",
    hint: expect.stringContaining("--s3-port"),
  });
});

test("a client that hangs up in the middle leaves nothing and harms nobody", async () => {
  const { port } = new URL(emulator.info.s3.endpoint);
  for (const text of ["", "GET", "PUT /checkpoints/a HTTP/1.1\r\n", "\0\0\0", "GET /%ff HTTP/1.1\r\nhost: x\r\n\r\n"]) {
    await new Promise<void>((done) => {
      const socket = connect(Number(port), "127.0.0.1", () =>
        socket.end(text, () => setTimeout(() => socket.destroy(), 20)),
      );
      socket.on("error", () => {});
      socket.on("close", () => done());
    });
  }
  expect(await outcome(put("a"))).toBe("done");
});

const canMount = process.platform === "linux" && process.getuid?.() === 0 && hasMount();

test.runIf(canMount)("a full disk is said, keeps what there was, and is over when there is space", async () => {
  const folder = mkdtempSync(join(tmpdir(), "vastlane-s3-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]);
  onTestFinished(() => {
    execFileSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true });
  });
  const store = await startEmulatedS3({ folder });
  const full = clientOf(store, { maxAttempts: 1 });
  await full.send(new CreateBucketCommand({ Bucket }));
  await put("kept", "before", full);
  const error = await put("big", randomBytes(12 << 20), full).catch((one) => one);
  expect(error).toMatchObject({ name: "InsufficientStorage", message: expect.stringContaining("full") });
  expect(await get("kept", full)).toBe("before");
  // Not even the line in the log has room now.
  const ballast = join(folder, "ballast");
  fill(ballast);
  for (let tries = 0; tries < 3; tries++)
    expect(await outcome(put("small", "1", full))).toBe("507 InsufficientStorage");
  rmSync(ballast);
  expect(await outcome(put("small", "after", full))).toBe("done");
  await store.stop();
  const again = await startEmulatedS3({ folder });
  const after = clientOf(again);
  expect([await get("kept", after), await get("small", after)]).toEqual(["before", "after"]);
  for (const one of [full, after]) one.destroy();
  await again.stop();
});

test("machines find the store at an address of theirs", async () => {
  const machines = await startTestEmulator({ noMachines: false });
  const { mode } = await machines.admin.status();
  const url = mode === "plain" ? /^http:\/\/127\.0\.0\.1:\d+$/ : /^http:\/\/(?!127)[\d.]+:\d+$/;
  const port = new URL(machines.info.s3.endpoint).port;
  const id = await rentOne(machines, {
    onstart: "echo store=$VASTLANE_EMULATOR_S3; curl -s -m 10 $VASTLANE_EMULATOR_S3/bucket/key | head -c 500; echo",
  });
  const path = join(machines.home, "machines", String(id), "container.log");
  const log = () => readFileIfThere(path) ?? "";
  await until(async () => log().includes("AccessDenied"), 30);
  const found = /store=(\S+)/.exec(log())?.[1] ?? "";
  expect(found).toMatch(url);
  expect(new URL(found).port).toBe(port);
});

function fill(path: string): void {
  try {
    for (let size = 1 << 20; size >= 1; size >>= 1) {
      try {
        for (;;) writeFileSync(path, randomBytes(size), { flag: "a" });
      } catch {
        // smaller pieces fit
      }
    }
  } catch {
    // full
  }
}

function hasMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), "vastlane-probe-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
