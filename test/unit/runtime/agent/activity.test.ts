/** Signs of life as read from a /proc and a /dev/pts made of plain files, so that each can be had alone. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { watchActivity } from "../../../../runtime/agent/activity.ts";

let root: string;
let seconds: number;
let gpu: number | null;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-activity-"));
  for (const folder of ["proc", "pts", "project"]) mkdirSync(join(root, folder));
  seconds = 0;
  gpu = null;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function setGpu(percent: number): void {
  gpu = percent;
}

interface Process {
  name?: string;
  /** CPU time, in hundredths of a second. */
  ticks?: number;
  read?: number;
  written?: number;
}

function process(pid: number, { name = "python3", ticks = 0, read = 0, written = 0 }: Process): void {
  const folder = join(root, "proc", String(pid));
  mkdirSync(folder, { recursive: true });
  const fields = ["S", 1, pid, pid, 0, -1, 0, 0, 0, 0, 0, ticks, 0, 0, 0, 20, 0, 1, 0];
  writeFileSync(join(folder, "stat"), `${pid} (${name}) ${fields.join(" ")}\n`);
  writeFileSync(join(folder, "io"), `rchar: ${read}\nwchar: ${written}\nsyscr: 0\n`);
}

function file(path: string, text: string, time = 1_700_000_000): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  utimesSync(join(root, path), time, time);
}

function watch() {
  const activity = watchActivity({
    folders: [join(root, "project")],
    isOurs: (pid) => pid === 4,
    now: () => seconds * 1000,
    proc: join(root, "proc"),
    terminals: join(root, "pts"),
    readGpu: async () => gpu,
  });
  /** What is seen 15 s after the change. */
  return async (change: () => void = () => {}) => {
    change();
    seconds += 15;
    return (await activity.sample()).seen;
  };
}

/** A machine with an idle editor's server, a session and a terminal. */
async function quietMachine() {
  process(10, { name: "node", ticks: 5000, read: 1e9, written: 1e9 });
  process(11, { name: "sshd-session", read: 5e6 });
  file("pts/0", "", 1_700_000_000);
  file("project/train.py", "v1");
  const look = watch();
  await look();
  expect(await look()).toEqual([]);
  return look;
}

test("nothing is seen at the first look, and nothing on a machine on which nothing moves", async () => {
  await quietMachine();
});

describe("a sign is", () => {
  const cases: [string, string[], () => void][] = [
    ["a process that uses more than a twentieth of a core", ["processes"], () => process(10, { ticks: 5080 })],
    ["a new process that has computed", ["processes"], () => process(99, { ticks: 100 })],
    ["a process that writes, as a download does", ["processes"], () => process(10, { written: 1e9 + 2e6 })],
    ["traffic over SSH", ["SSH"], () => process(11, { name: "sshd-session", read: 6e6 })],
    ["a transfer by a new session", ["SSH"], () => process(12, { name: "sshd", read: 6e6 })],
    ["keys in a terminal", ["terminal"], () => utimesSync(join(root, "pts/0"), 1_700_000_008, 1_700_000_000)],
    ["a changed file", ["files"], () => file("project/train.py", "v2", 1_700_000_009)],
    ["a new file in a new folder", ["files"], () => file("project/a/b.txt", "x")],
    ["a file that is gone", ["files"], () => rmSync(join(root, "project/train.py"))],
    ["a GPU that works", ["GPU"], () => setGpu(60)],
  ];
  test.each(cases)("%s", async (_, seen, change) => {
    const look = await quietMachine();
    expect(await look(change)).toEqual(seen);
    gpu = null;
    expect(await look()).toEqual([]);
  });
});

describe("no sign is", () => {
  const cases: [string, () => void][] = [
    ["an editor's server that ticks over", () => process(10, { ticks: 5060, written: 1e9 + 50_000 })],
    ["an idle connection's keep-alives", () => process(11, { name: "sshd-session", read: 5e6 + 50_000 })],
    [
      "output in a terminal: a monitor that somebody forgot",
      () => utimesSync(join(root, "pts/0"), 1_700_000_000, 1_700_000_009),
    ],
    ["a session that ends", () => rmSync(join(root, "proc/11"), { recursive: true })],
    ["a terminal that is closed", () => rmSync(join(root, "pts/0"))],
    ["what the agent itself does", () => process(4, { ticks: 9999, written: 1e9 })],
    ["the container's first process", () => process(1, { ticks: 9999 })],
    ["a process number that is used again", () => process(10, { ticks: 10 })],
    ["our own state in the project", () => file("project/.git/index", "x")],
    ["a GPU's driver", () => setGpu(2)],
  ];
  test.each(cases)("%s", async (_, change) => {
    const look = await quietMachine();
    expect(await look(change)).toEqual([]);
  });
});

test("a file from the future hides no later change", async () => {
  file("project/future.txt", "x", 4_000_000_000);
  const look = await quietMachine();
  expect(await look(() => file("project/train.py", "v2", 1_700_000_020))).toEqual(["files"]);
});

test("links are not followed, not even in a circle", async () => {
  symlinkSync("..", join(root, "project", "loop"));
  const look = await quietMachine();
  expect(await look(() => file("elsewhere", "x"))).toEqual([]);
});

test("a machine that shows no processes counts as active", async () => {
  const look = watch();
  rmSync(join(root, "proc"), { recursive: true });
  expect(await look()).toEqual(["unknown"]);
});

test("the busiest GPU is told, and none where there is none", async () => {
  const options = { folders: [], isOurs: () => false, now: () => 0, proc: join(root, "proc"), terminals: root };
  expect(await watchActivity({ ...options, readGpu: async () => 41 }).sample()).toEqual({ seen: ["GPU"], gpuUtil: 41 });
  expect(await watchActivity({ ...options, readGpu: async () => null }).sample()).toEqual({ seen: [], gpuUtil: null });
});
