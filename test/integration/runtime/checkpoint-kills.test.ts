/**
 * A hundred SIGKILLs at random moments of saves and uploads. Only a real process that really dies can show that no
 * moment loses a checkpoint: what a manifest in the store or a finished folder on the disk has promised is loaded.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CheckpointManager } from "../../../runtime/checkpoint/index.ts";
import { type OpenStore, openStore } from "../../../runtime/store/index.ts";
import { tensorsOf } from "../../helpers/checkpoint-values.ts";
import { type EmulatedTestS3, makeBucket, startEmulatedS3 } from "../../helpers/s3.ts";

const BUCKET = "kills-here";
const PREFIX = "laptop";
const KILLS = 100;
/** Two or three small steps, or a part of a large one; how long that takes is found out on the way. */
const FIRST_LIFE_MS = 120;

let dir: string;
let server: EmulatedTestS3;
let store: OpenStore;
let writer: string;
beforeAll(async () => {
  // In memory where that can be: a kill leaves the same there, and the disk's syncs would take most of the time.
  dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "vastlane-kills-"));
  server = await startEmulatedS3({ folder: join(dir, "s3") });
  await makeBucket(server, BUCKET);
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  store = openStore({ endpoint, region, accessKeyId, secretAccessKey, bucket: BUCKET, prefix: PREFIX });
  writer = join(dir, "writer.mjs");
  // One file starts in half the time.
  await build({
    entryPoints: [resolve(import.meta.dirname, "../../helpers/checkpoint-writer.ts")],
    outfile: writer,
    bundle: true,
    platform: "node",
    format: "esm",
    mainFields: ["module", "main"],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "silent",
  });
});
afterAll(async () => {
  store.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

test(`${KILLS} random kills lose nothing that was promised`, { timeout: 180_000 }, async () => {
  const local = join(dir, "local");
  mkdirSync(local);
  const random = randomFrom(20261124);
  let [saved, highest] = [0, 0];
  const died = { beforeSave: 0, beforeUpload: 0, uploading: 0 };
  let longestMs = FIRST_LIFE_MS;
  let next = startWriter(local);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const said = await runAndKill(next, random() * longestMs);
    next = startWriter(local); // gets ready while what is left is looked at
    saved = Math.max(saved, said.saved);
    const promised = await newestManifest();
    longestMs *= said.saved === 0 ? 1.1 : said.uploaded > 0 ? 0.85 : 1;
    if (said.saved === 0) died.beforeSave += 1;
    else if (said.uploaded < said.saved && promised < said.saved) died.beforeUpload += 1;
    else died.uploading += 1;

    const here = await load(new CheckpointManager({ localDir: local, env: {}, log: () => {} }));
    expect(here, `on the disk after kill ${kill}`).toBeGreaterThanOrEqual(Math.max(saved, promised));
    const fresh = join(dir, `fresh-${kill}`);
    const manager = managerIn(fresh);
    expect(await load(manager), `in the store after kill ${kill}`).toBeGreaterThanOrEqual(promised);
    manager.close();
    rmSync(fresh, { recursive: true, force: true });
    highest = Math.max(highest, promised);
    expect(promised).toBe(highest);
  }
  next.child.kill("SIGKILL");
  expect(readdirSync(local).filter((name) => name.startsWith("step-")).length).toBeLessThanOrEqual(3);
  expect(highest).toBeGreaterThan(10);
  console.log(`${KILLS} kills up to step ${highest}:`, JSON.stringify(died));
});

/** Loads, and compares every bit with what the step must have. Gives the step, 0 when there is nothing. */
async function load(manager: CheckpointManager): Promise<number> {
  const found = await manager.loadLatest();
  if (!found) return 0;
  expect(found.state).toEqual({ step: found.step });
  const wanted = tensorsOf(found.step).w?.data as Float32Array;
  const data = found.tensors.w?.data as Float32Array;
  expect(Buffer.from(data.buffer).equals(Buffer.from(wanted.buffer))).toBe(true);
  return found.step;
}

function managerIn(localDir: string): CheckpointManager {
  return new CheckpointManager({
    localDir,
    remoteBucket: BUCKET,
    remotePrefix: PREFIX,
    endpoint: server.endpoint,
    region: server.region,
    credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
    env: {},
    log: () => {},
  });
}

/** The highest step whose manifest is in the store, acknowledged or not. */
async function newestManifest(): Promise<number> {
  const objects = await store.list("checkpoints/");
  const steps = objects.map(({ key }) => /step-(\d+)\.e\d+\/manifest\.json$/.exec(key)?.[1]);
  return Math.max(0, ...steps.map((step) => Number(step ?? 0)));
}

interface Writer {
  child: ChildProcessByStdio<Writable, Readable, null>;
  ready: Promise<unknown>;
}

function startWriter(localDir: string): Writer {
  const args = [writer, localDir, server.endpoint, BUCKET, PREFIX, server.accessKeyId, server.secretAccessKey];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  return { child, ready: once(child.stdout, "data") };
}

/** Lets a writer work for so long; gives the highest steps that it has told of. */
async function runAndKill({ child, ready }: Writer, lifeMs: number) {
  await ready;
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stdin.write("go\n");
  await once(child.stdout, "data");
  await wait(lifeMs);
  child.kill("SIGKILL");
  await once(child, "close");
  const highest = (word: string) =>
    Math.max(0, ...[...output.matchAll(RegExp(`${word} (\\d+)`, "g"))].map(([, n]) => Number(n)));
  return { saved: highest("saved"), uploaded: highest("uploaded") };
}

/** The same moments in each run, as far as a computer lets them be: mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
