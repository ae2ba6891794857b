/** The first experiment as a process that is killed: a resumed run must be the same run, bit for bit. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { newestCheckpoint } from "../../../runtime/checkpoint/folders.ts";
import { makeAgentMachine } from "../../helpers/agent-machine.ts";
import { findCommands } from "../../helpers/supervised.ts";

const script = fileURLToPath(new URL("../../../experiments/bigram.ts", import.meta.url));
const PARAMS = { steps: 240, batch: 64, logEvery: 20, saveEvery: 30 };

let home: string;
let dirs: { checkpoints: string; logs: string };
let whole: Awaited<ReturnType<typeof finished>>;

/** Starts the experiment; `kill` ends it with that signal once it has printed so many lines. */
function start(options: { params?: object; env?: object; kill?: { signal: NodeJS.Signals; afterLines: number } } = {}) {
  const env = {
    ...process.env,
    VASTLANE_PARAMS: JSON.stringify({ ...PARAMS, ...options.params }),
    VASTLANE_CHECKPOINT_DIR: dirs.checkpoints,
    VASTLANE_LOG_DIR: dirs.logs,
    ...options.env,
  };
  const child = spawn(process.execPath, [script], { env, cwd: home, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    const { signal, afterLines } = options.kill ?? {};
    if (signal && output.split("\n").length > (afterLines ?? 0)) child.kill(signal);
  });
  return new Promise<{ code: number | null; lines: string[] }>((resolve) =>
    child.on("close", (code) => resolve({ code, lines: output.trimEnd().split("\n") })),
  );
}

/** What a finished run leaves: its last line, its weights, and the loss of each step (the last line of a step holds). */
function finished(lines: string[], where = dirs) {
  const newest = newestCheckpoint(where.checkpoints) ?? "";
  const metrics = readFileSync(join(where.logs, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  return {
    last: lines.at(-1),
    weights: ["embed.f32", "unembed.f32"].map((name) => readFileSync(join(newest, name)).toString("base64")),
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
  whole = finished((await start()).lines);
});
afterAll(() => rmSync(home, { recursive: true, force: true }));
beforeEach(() => {
  dirs = freshDirs();
});

test("learns: the loss falls from that of a blind guess", () => {
  expect(whole.last).toMatch(/^done: loss \d\.\d{4} after 240 steps$/);
  expect(Object.keys(whole.losses)).toHaveLength(12);
  expect(whole.losses[20]).toBeGreaterThan(3.5);
  expect(whole.losses[240]).toBeLessThan(3.2);
});

test("ends with the same numbers when it is killed again and again", async () => {
  let kills = 0;
  let result = { code: null as number | null, lines: [] as string[] };
  for (const afterLines of [4, 3, 5, 4]) {
    result = await start({ kill: { signal: "SIGKILL", afterLines } });
    if (result.code === 0) break;
    kills += 1;
  }
  result = await start();
  expect(kills).toBeGreaterThanOrEqual(3);
  expect(result.lines[1]).toMatch(/^resumed at step \d+$/);
  expect(finished(result.lines)).toEqual(whole);
});

test("saves and leaves on SIGTERM, not as done, and goes on from there", async () => {
  const stopped = await start({ kill: { signal: "SIGTERM", afterLines: 4 } });
  expect(stopped.code).toBe(143);
  const at = /^stopped at step (\d+), checkpoint saved$/.exec(stopped.lines.at(-1) ?? "")?.[1];
  const { code, lines } = await start();
  expect(code).toBe(0);
  expect(lines[1]).toBe(`resumed at step ${at}`);
  expect(finished(lines)).toEqual(whole);
});

test("resumes from the folder it is told to, and from the one before when the newest is damaged", async () => {
  await start({ params: { steps: 90 } });
  const names = readdirSync(dirs.checkpoints).sort();
  expect(names).toEqual(["step-00000030", "step-00000060", "step-00000090"]);
  const told = await start({ env: { VASTLANE_RESUME_FROM: join(dirs.checkpoints, "step-00000030") } });
  expect(told.lines[1]).toBe("resumed at step 30");
  expect(finished(told.lines)).toEqual(whole);
  rmSync(join(newestCheckpoint(dirs.checkpoints) ?? "", "experiment.json"));
  expect((await start()).lines[1]).toBe("resumed at step 210");
});

test("does not go on with weights that other parameters have made", async () => {
  await start({ params: { steps: 30 } });
  const { lines } = await start({ params: { steps: 30, learningRate: 1 } });
  expect(lines[0]).toBe(`${join(dirs.checkpoints, "step-00000030")} was made with another learningRate: not used`);
  expect(lines).not.toContain("resumed at step 30");
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
  machine.setRun({ command: [process.execPath, script], cwd: home, params: PARAMS });
  await machine.start();
  await machine.until(() => machine.output().includes("step 100 "), 30_000);
  for (const pid of [machine.agentPid(), ...findCommands(machine.root)]) process.kill(pid, "SIGKILL");
  await machine.until(() => findCommands(machine.root).length === 0);
  await machine.start();
  await machine.until(() => machine.heartbeat().state === "done", 30_000);
  const lines = machine.output().trimEnd().split("\n");
  expect(lines.some((line) => line.startsWith("resumed at step "))).toBe(true);
  expect(finished(lines, machine.workspace)).toEqual(whole);
  expect(machine.heartbeat()).toMatchObject({ step: 240, checkpoint: "step-00000240" });
});
