/** A run under `vastlane watch`: preempted, brought back elsewhere, done, and nothing left. Only whole processes show it. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import type { WatchEvent } from "../../cli/watch/loop.ts";
import { readHead, readLease, readRunRecord } from "../../runtime/lease/index.ts";
import { type OpenStore, openStore } from "../../runtime/store/index.ts";
import { engineTest } from "../helpers/engine-test.ts";
import { makeProject, repository, type TestProject } from "../helpers/project.ts";
import { writeStepper } from "../helpers/stepper.ts";

let project: TestProject;
let store: OpenStore;
const watchers: Watcher[] = [];

beforeEach(async () => {
  project = await makeProject();
  const { endpoint, region, accessKeyId, secretAccessKey } = project.emulator.s3;
  const access = { endpoint, region, accessKeyId, secretAccessKey, pathStyle: true };
  store = openStore({ ...access, bucket: "runs", prefix: "checkpoints/test/train" });
});
afterEach(async () => {
  for (const watcher of watchers.splice(0)) watcher.child.kill("SIGKILL");
  store.close();
  await project.dispose();
});

function configure(params: object, more: object = {}): void {
  const command = writeStepper(project.root);
  const checkpoint = { store: "s3", s3_bucket: "runs" };
  project.configure({ checkpoint, experiment: { command, params }, ...more });
}

interface Watcher {
  child: ChildProcess;
  /** So far. */
  events: WatchEvent[];
  /** The exit code. */
  ended: Promise<number>;
  errors(): string;
}

/** `vastlane watch --json`. */
function startWatch(...args: string[]): Watcher {
  const cli = join(repository, "cli/main.ts");
  const child = spawn(process.execPath, [cli, "watch", "--json", "--stack", "test", ...args], {
    cwd: project.root,
    env: { ...process.env, CI: "true", VASTLANE_STACK: "test" },
  });
  const events: WatchEvent[] = [];
  let errors = "";
  let rest = "";
  child.stdout.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) events.push(JSON.parse(line));
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk;
  });
  const ended = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? -1)));
  const watcher = { child, events, ended, errors: () => errors };
  watchers.push(watcher);
  return watcher;
}

async function until<T>(look: () => T | Promise<T>, ms = 60_000): Promise<NonNullable<T>> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await Promise.resolve()
      .then(look)
      .catch(() => undefined);
    if (found) return found as NonNullable<T>;
    if (Date.now() > end)
      throw new Error(`not within ${ms} ms: ${look}\n${watchers.map((it) => it.errors()).join("")}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const up = async () => {
  const { code, stdout, stderr } = await project.vastlane(["up"]);
  expect(code, stdout + stderr).toBe(0);
  return stdout;
};

engineTest("a preempted run goes on on another machine, ends there, and leaves nothing that bills", async () => {
  configure({ steps: 400 });
  await up();
  const [first = 0] = await project.alive();
  const uploaded = await until(async () => (await readHead(store)).head?.checkpoint);
  const watcher = startWatch("--every", "2");
  await until(() => watcher.events.some(({ event }) => event === "seen"));
  await project.market.preempt(first);
  await until(() => watcher.events.some(({ event }) => event === "recovered"));
  const lost = watcher.events.find(({ event, text }) => event === "lost" && text.includes("silent"));
  expect(lost).toMatchObject({ stack: "test", machine: "main", contractId: first });
  const [second = 0] = await project.alive();
  expect(second).not.toBe(first);
  expect(await until(async () => (await readLease(store))?.record?.epoch === 2)).toBe(true);
  expect(uploaded).toMatch(/^step-\d+\.e00001$/);
  await until(async () => /\.e00002$/.test((await readHead(store)).head?.checkpoint ?? ""));

  // Fewer steps than it has made would be another run; it is left to end by itself.
  await until(async () => (await readRunRecord(store))?.status === "done", 90_000);
  expect(await watcher.ended).toBe(0);
  expect(watcher.events.at(-1)).toMatchObject({ event: "over" });
  expect(await project.alive()).toEqual([]);

  // A closed run is not rented again, neither by up nor by a watcher.
  expect(await up()).toContain("Nothing is rented for run test/train");
  expect(await startWatch("--once").ended).toBe(0);
  expect(await project.alive()).toEqual([]);
});

engineTest("a run whose machine the market starts again goes on by itself", async () => {
  configure({ steps: 2000 });
  await up();
  const [contract = 0] = await project.alive();
  await until(async () => (await readHead(store)).head?.checkpoint);
  await project.market.preempt(contract, { seconds: 3 });
  await until(async () => (await readLease(store))?.record?.epoch === 2, 60_000);
  expect(await project.alive()).toEqual([contract]);
  await until(async () => /\.e00002$/.test((await readHead(store)).head?.checkpoint ?? ""));
});

engineTest(
  "a store that is down does not end a machine that trains, and a destroyed stack stays destroyed",
  async () => {
    configure({ steps: 5000 });
    await up();
    const before = await project.alive();
    await until(async () => (await readLease(store))?.record?.epoch === 1);
    await project.market.fault("s3-down", { seconds: 8 });
    const watcher = startWatch("--every", "1");
    await until(() => watcher.events.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(watcher.events.filter(({ event }) => event === "recovering")).toEqual([]);
    expect(await project.alive()).toEqual(before);
    expect((await project.vastlane(["destroy"])).code).toBe(0);
    expect(await watcher.ended).toBe(0);
    expect(watcher.events.at(-1)?.text).toContain("destroyed");
    expect(await project.alive()).toEqual([]);
  },
);
