/** The first experiment as a process that is killed: a resumed run must be the same run, bit for bit. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { newestCheckpoint } from "../../../runtime/checkpoint/index.ts";
import { hashState } from "../../../runtime/trainer/index.ts";
import { makeAgentMachine } from "../../helpers/agent-machine.ts";
import { findCommands } from "../../helpers/supervised.ts";

const script = fileURLToPath(new URL("../../../experiments/bigram.ts", import.meta.url));
const PARAMS = { steps: 320, batch: 32, logEvery: 20 };

let home: string;
let dirs: { checkpoints: string; logs: string };
let whole: Awaited<ReturnType<typeof finished>>;

/** Starts the experiment; `kill` ends it with that signal as soon as it has made a checkpoint. */
function start(options: { params?: object; env?: object; kill?: NodeJS.Signals } = {}) {
  const env = {
    ...process.env,
    VASTLANE_PARAMS: JSON.stringify({ ...PARAMS, ...options.params }),
    VASTLANE_CHECKPOINT_DIR: dirs.checkpoints,
    VASTLANE_LOG_DIR: dirs.logs,
    VASTLANE_CHECKPOINT_EVERY_STEPS: "30",
    ...options.env,
  };
  const child = spawn(process.execPath, [script], { env, cwd: home, stdio: ["ignore", "pipe", "inherit"] });
  const before = newestCheckpoint(dirs.checkpoints);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (options.kill && newestCheckpoint(dirs.checkpoints) !== before) child.kill(options.kill);
  });
  return new Promise<{ code: number | null; lines: string[] }>((resolve) =>
    child.on("close", (code) => resolve({ code, lines: output.trimEnd().split("\n") })),
  );
}

/** What a finished run leaves: its last line, its state, and the loss of each step (the last line of a step holds). */
async function finished(lines: string[], where = dirs) {
  const newest = newestCheckpoint(where.checkpoints) ?? "";
  const metrics = readFileSync(join(where.logs, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  return {
    last: lines.at(-1),
    state: await hashState(newest),
    losses: Object.fromEntries(metrics.map((line) => [JSON.parse(line).step, JSON.parse(line).loss])),
  };
}

function freshDirs() {
  const root = mkdtempSync(join(home, "run-"));
  return { checkpoints: join(root, "checkpoints"), logs: join(root, "logs") };
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "vastlane-bigram-"));
  dirs = freshDirs();
  whole = await finished((await start()).lines);
});
afterAll(() => rmSync(home, { recursive: true, force: true }));
beforeEach(() => {
  dirs = freshDirs();
});

test("learns: the loss falls from that of a blind guess", () => {
  expect(whole.last).toMatch(/^done: loss \d\.\d{4} after 320 steps$/);
  expect(Object.keys(whole.losses)).toHaveLength(16);
  expect(whole.losses[20]).toBeGreaterThan(3.5);
  expect(whole.losses[320]).toBeLessThan(3.3);
});

test("ends with the same numbers when it is killed again and again", async () => {
  let kills = 0;
  for (let attempt = 0; attempt < 2; attempt++) kills += (await start({ kill: "SIGKILL" })).code === null ? 1 : 0;
  const last = await start();
  expect(kills).toBeGreaterThan(0);
  expect(last.lines[1]).toMatch(/^resumed at step \d+$/);
  expect(await finished(last.lines)).toEqual(whole);
});

test("has nothing left to do when it is done", async () => {
  await start({ params: { steps: 40 } });
  expect((await start({ params: { steps: 40 } })).lines.slice(1)).toEqual([
    "resumed at step 40",
    expect.stringMatching(/^done: loss \d\.\d{4} after 40 steps$/),
  ]);
});

test("runs in a local folder with no variables set, smaller under DEV_MODE", async () => {
  const none = { VASTLANE_CHECKPOINT_DIR: "", VASTLANE_LOG_DIR: "", VASTLANE_PARAMS: '{"batch":4}', DEV_MODE: "True" };
  const { lines } = await start({ env: none });
  expect(lines[0]).toMatch(/^bigram: corpus \d\.\d MB, \d+ characters, 400 steps of 4$/);
  const made = join(home, ".vastlane", "runs", "bigram");
  expect(newestCheckpoint(join(made, "checkpoints"))).toBe(join(made, "checkpoints", "step-00000400"));
});

test("survives the death of its machine under an agent, and is then done for good", async () => {
  const machine = await makeAgentMachine();
  onTestFinished(() => machine.end());
  const env = { VASTLANE_CHECKPOINT_EVERY_STEPS: "30" };
  machine.setRun({ command: [process.execPath, script], cwd: home, params: PARAMS, env });
  await machine.start();
  await machine.until(() => machine.output().includes("step 140 "), 30_000);
  for (const pid of [machine.agentPid(), ...findCommands(machine.root)]) process.kill(pid, "SIGKILL");
  await machine.until(() => findCommands(machine.root).length === 0);
  await machine.start();
  await machine.until(() => machine.heartbeat().state === "done", 30_000);
  const lines = machine.output().trimEnd().split("\n");
  expect(lines.some((line) => line.startsWith("resumed at step "))).toBe(true);
  expect(await finished(lines, machine.workspace)).toEqual(whole);
  expect(machine.heartbeat()).toMatchObject({ step: 320, checkpoint: "step-00000320" });
});
