/** Checkpoints on a full disk and with a store that goes away: only real ENOSPC and real sockets show what is left. */
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { CheckpointManager, type CheckpointManagerOptions, type Tensors } from "../../../runtime/checkpoint/index.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { canMount, mountSmallDisk } from "../../helpers/small-disk.ts";
import { type StubS3, sendError, startStubS3 } from "../../helpers/stub-s3.ts";

const MiB = 1 << 20;

let dir: string;
let stub: StubS3;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-faults-"));
  stub = await startStubS3();
});
afterEach(async () => {
  await stub.close();
  rmSync(dir, { recursive: true, force: true });
});

function open(localDir: string, more: Partial<CheckpointManagerOptions> = {}): CheckpointManager {
  const manager = new CheckpointManager({
    localDir,
    remoteBucket: stub.bucket,
    remotePrefix: "laptop",
    endpoint: stub.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
    env: {},
    log: () => {},
    clock: fakeClock(), // waits for the store take no time
    ...more,
  });
  onTestFinished(() => manager.close());
  return manager;
}

function tensorsOf(step: number, bytes = 1000): Tensors {
  const data = new Uint8Array(bytes).fill(step);
  return { w: { dtype: "U8", shape: [bytes], data } };
}
const save = (manager: CheckpointManager, step: number, bytes?: number) =>
  manager.save({ step, tensors: tensorsOf(step, bytes), state: {} });

test.runIf(canMount)("a full disk costs the checkpoint that did not fit, and nothing else", async () => {
  const local = join(mountSmallDisk(4), "checkpoints");
  const manager = open(local);
  await save(manager, 1, MiB);
  await manager.uploadLatest();
  await expect(save(manager, 2, 4 * MiB)).rejects.toMatchObject({ code: "ENOSPC" });
  expect(readdirSync(local).filter((name) => name !== ".outgoing")).toEqual(["step-00000001"]);
  expect((await manager.loadLatest())?.step).toBe(1);
  await save(manager, 3, MiB);
  expect(await manager.uploadLatest()).toBe("step-00000003.e00000");
});

test.runIf(canMount)("an upload needs no space: it is what lets old checkpoints go", async () => {
  const disk = mountSmallDisk(24);
  const manager = open(join(disk, "checkpoints"));
  await save(manager, 1, 20 * MiB);
  mkdirSync(join(disk, "checkpoints", ".outgoing", "step-00000001"), { recursive: true });
  const ballast = openSync(join(disk, "ballast"), "w");
  expect(() => {
    for (;;) writeSync(ballast, Buffer.alloc(4096));
  }).toThrow("ENOSPC");
  closeSync(ballast);
  expect(await manager.uploadLatest()).toBe("step-00000001.e00000");
});

test.runIf(canMount)("a restore that does not fit is refused before the disk is full", async () => {
  const manager = open(join(dir, "big"));
  await save(manager, 1, 6 * MiB);
  await manager.uploadLatest();
  const small = mountSmallDisk(4);
  const restoring = open(join(small, "checkpoints"));
  mkdirSync(join(small, "checkpoints"));
  await expect(restoring.downloadLatest()).rejects.toMatchObject({
    code: "VL_DISK_FULL",
    what: expect.stringMatching(
      /^The disk is full: downloading checkpoints\/step-00000001\.e00000\/tensors\.safetensors stopped\.$/,
    ),
  });
  // Whatever trains there can still write.
  writeFileSync(join(small, "metrics.jsonl"), Buffer.alloc(3 * MiB));
});

test("a store that is down for a while costs nothing: the newest is uploaded when it is back", async () => {
  const manager = open(join(dir, "local"));
  await save(manager, 1);
  await manager.uploadLatest();
  stub.intercept = (_request, response) => {
    sendError(response, 503, "ServiceUnavailable");
    return true;
  };
  for (const step of [2, 3, 4, 5]) {
    await save(manager, step);
    await expect(manager.uploadLatest()).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
  }
  expect((await manager.loadLatest())?.step).toBe(5);
  stub.intercept = undefined;
  expect(await manager.uploadLatest()).toBe("step-00000005.e00000");
  expect((await open(join(dir, "other")).loadLatest())?.step).toBe(5);
});

test("an upload that the store cut goes on with the parts that are there", async () => {
  const manager = open(join(dir, "local"));
  await save(manager, 1, 40 * MiB);
  stub.intercept = ({ query }, response) => {
    if (!query.has("uploadId") || Number(query.get("partNumber") ?? 9) < 4) return false;
    response.socket?.destroy();
    return true;
  };
  await expect(manager.uploadLatest()).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
  stub.intercept = undefined;
  const before = stub.requests.length;
  await manager.uploadLatest();
  const again = stub.requests.slice(before).filter(({ method, query }) => method === "PUT" && query.has("partNumber"));
  expect(again.map(({ query }) => query.get("partNumber")).sort()).toEqual(["4", "5", "6"]);
  const loaded = await open(join(dir, "other")).loadLatest();
  const [found, wanted] = [loaded?.tensors.w?.data, tensorsOf(1, 40 * MiB).w?.data];
  expect(Buffer.compare(found as Uint8Array, wanted as Uint8Array)).toBe(0);
});

test.each<[string, number, number]>([
  ["in a small file", 1000, 500],
  ["in the first part of a large one", 20 * MiB, 5 * MiB],
  ["in the last byte of a large one", 20 * MiB, 20 * MiB],
])("one flipped bit %s is found, and the checkpoint before is taken", async (_where, bytes, at) => {
  const manager = open(join(dir, "local"));
  for (const step of [1, 2]) {
    await save(manager, step, bytes);
    await manager.uploadLatest();
  }
  const key = "laptop/checkpoints/step-00000002.e00000/tensors.safetensors";
  const stored = Buffer.from(stub.objects.get(key) ?? "");
  stored[at] = (stored[at] ?? 0) ^ 1;
  stub.objects.set(key, stored);
  const lines: string[] = [];
  const loaded = await open(join(dir, "other"), { log: (line) => lines.push(line) }).loadLatest();
  expect(loaded?.step).toBe(1);
  expect(lines.join("\n")).toContain("tensors.safetensors: it has other content than its manifest says");
});

test("half a checkpoint, without its manifest, is never loaded", async () => {
  const manager = open(join(dir, "local"));
  await save(manager, 1);
  await manager.uploadLatest();
  await save(manager, 2);
  stub.intercept = ({ key, method }, response) => {
    if (method !== "PUT" || !key.endsWith("manifest.json")) return false;
    sendError(response, 403, "AccessDenied");
    return true;
  };
  await expect(manager.uploadLatest()).rejects.toMatchObject({ code: "VL_STORE_DENIED" });
  stub.intercept = undefined;
  expect((await open(join(dir, "other")).loadLatest())?.step).toBe(1);
});
