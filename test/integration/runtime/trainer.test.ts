/** The trainer as a process that is ended at any moment: a resumed run must be the same run, bit for bit. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { listCheckpoints, newestCheckpoint } from "../../../runtime/checkpoint/index.ts";
import { hashState } from "../../../runtime/trainer/index.ts";
import { seeded } from "../../helpers/seeded.ts";
import { canMount, mountSmallDisk } from "../../helpers/small-disk.ts";
import type { Tiny } from "../../helpers/tiny-training.ts";

const script = fileURLToPath(new URL("../../helpers/tiny-training.ts", import.meta.url));
const BASE: Tiny = { steps: 60, everySteps: 7, stepMs: 1, isPatient: true };

let home: string;
let dir: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "vl-trainer-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));
beforeEach(() => {
  dir = mkdtempSync(join(home, "run-"));
});

interface Ended {
  code: number | NodeJS.Signals | null;
  lines: string[];
}

/** Runs the training in `dir` to its end. */
function train(tiny: Partial<Tiny> = {}, env: Record<string, string> = {}, where = dir): Promise<Ended> {
  const own = { TINY: JSON.stringify({ ...BASE, ...tiny }), VASTLANE_CHECKPOINT_DIR: join(where, "checkpoints") };
  const options = {
    cwd: where,
    env: { PATH: process.env.PATH, VASTLANE_LOG_DIR: join(where, "logs"), ...own, ...env },
  };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [script], options, (_, stdout, stderr) => {
      resolve({ code: child.exitCode ?? child.signalCode, lines: `${stdout}${stderr}`.trimEnd().split("\n") });
    });
  });
}

/** What a finished run leaves: its state, and the values of each step (the last line of a step holds). */
async function finished(where = dir) {
  const lines = readFileSync(join(where, "logs/metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const values = (name: string) =>
    Object.fromEntries(lines.filter((line) => name in line).map((line) => [line.step, line[name]]));
  const folder = newestCheckpoint(join(where, "checkpoints")) ?? "";
  const { data, schedule, step } = JSON.parse(readFileSync(join(folder, "state.json"), "utf8"));
  return { ...(await hashState(folder)), loss: values("loss"), evalLoss: values("evalLoss"), data, schedule, step };
}

const wholes = new Map<number, ReturnType<typeof finished>>();
/** The same run left alone. */
function whole(ballast = 1) {
  const known = wholes.get(ballast) ?? run();
  wholes.set(ballast, known);
  return known;
  async function run() {
    const where = mkdtempSync(join(home, "whole-"));
    const { code, lines } = await train({ ballast }, {}, where);
    expect(lines.at(-1)).toMatch(/^done: step 60, loss \d\.\d+, evaluation \d/);
    expect(code).toBe(0);
    return finished(where);
  }
}

const resumedAt = ({ lines }: Ended) => Number(/^resumed at step (\d+)$/.exec(lines[0] ?? "")?.[1] ?? 0);

test("learns, and logs what it is told to", async () => {
  const { loss, evalLoss, data, step } = await whole();
  expect(Object.keys(loss).map(Number)).toEqual(Array.from({ length: 12 }, (_, n) => 5 * (n + 1)));
  expect(loss[60]).toBeLessThan(loss[5] / 4);
  expect(Object.keys(evalLoss).map(Number)).toEqual([10, 20, 30, 40, 50, 60]);
  expect(step).toBe(60);
  expect(data).toEqual({ epoch: 6, offset: 60 * 4 - 6 * 37, examples: 37, seed: 3 });
});

test("killed at random steps again and again, it ends with the same bits", async () => {
  const random = seeded(11).number;
  const resumed: number[] = [];
  for (let at = 0; ; ) {
    at += 1 + Math.floor(random() * 14);
    const ended = await train({ end: { step: at, afterMs: 0, signal: "SIGKILL" } });
    resumed.push(resumedAt(ended));
    if (ended.code === 0) break;
    expect(ended.code).toBe("SIGKILL");
  }
  expect(resumed.filter((step) => step > 0).length).toBeGreaterThan(2);
  expect(await finished()).toEqual(await whole());
});

test("killed while it saves, it has the checkpoint before, and ends with the same bits", async () => {
  const ballast = 700_000; // 8 MB a checkpoint, some 30 ms
  const random = seeded(5).number;
  let cut = 0;
  for (let kills = 0, at = 8; kills < 6; kills++, at += 7) {
    const end = { step: at, afterMs: Math.floor(random() * 60), signal: "SIGKILL" } as const;
    const ended = await train({ ballast, end, isPatient: false });
    expect(ended.code).toBe("SIGKILL");
    const names = existsSync(join(dir, "checkpoints")) ? readdirSync(join(dir, "checkpoints")) : [];
    cut += names.some((name) => name.startsWith(".unfinished")) ? 1 : 0;
    const step = Math.max(0, ...names.map((name) => Number(/^step-(\d+)$/.exec(name)?.[1] ?? 0)));
    at = Math.max(step - (step % 7) + 1, 1);
  }
  expect(cut).toBeGreaterThan(0);
  expect((await train({ ballast })).code).toBe(0);
  expect(readdirSync(join(dir, "checkpoints")).filter((name) => name.startsWith("."))).toEqual([]);
  expect(await finished()).toEqual(await whole(ballast));
});

test("on SIGTERM it finishes the step, saves and leaves with 143, and goes on from there", async () => {
  const stopped = await train({ end: { step: 23, afterMs: 0, signal: "SIGTERM" } });
  expect(stopped.code).toBe(143);
  expect(stopped.lines.at(-1)).toBe("stopped at step 23, checkpoint saved");
  const ended = await train();
  expect(ended).toMatchObject({ code: 0, lines: expect.arrayContaining(["resumed at step 23"]) });
  expect(await finished()).toEqual(await whole());
});

test("on SIGTERM during a save it waits for it, and saves what came since", async () => {
  const ballast = 700_000;
  const stopped = await train({ ballast, end: { step: 8, afterMs: 0, signal: "SIGTERM" }, isPatient: false });
  expect(stopped.code).toBe(143);
  expect(readdirSync(join(dir, "checkpoints"))).toEqual(["step-00000007", "step-00000008"]);
  expect(resumedAt(await train({ ballast }))).toBe(8);
  expect(await finished()).toEqual(await whole(ballast));
});

test("asked twice by Ctrl-C, it ends at once", async () => {
  const { code, lines } = await train({ end: { step: 9, afterMs: 0, signal: "SIGINT", times: 2 } });
  // Signals of one kind that arrive together may be one: then it has saved.
  expect([130, 143]).toContain(code);
  expect(lines.at(-1)).not.toMatch(/^done/);
});

test("a damaged checkpoint is named and passed over, and the run ends with the same bits", async () => {
  await train({ end: { step: 25, afterMs: 0, signal: "SIGTERM" } });
  const path = join(newestCheckpoint(join(dir, "checkpoints")) ?? "", "tensors.safetensors");
  const bytes = readFileSync(path);
  bytes[bytes.length - 3] = (bytes.at(-3) ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const { code, lines } = await train();
  expect(lines[0]).toMatch(/^checkpoint .*step-00000025 cannot be used \(tensors\.safetensors has other content/);
  expect(lines[1]).toBe("resumed at step 21");
  expect(code).toBe(0);
  expect(await finished()).toEqual(await whole());
});

test("goes on from the folder that it is told to, and keeps what is ahead of it out of the way", async () => {
  await train({ end: { step: 30, afterMs: 0, signal: "SIGTERM" } });
  const [first = ""] = listCheckpoints(join(dir, "checkpoints"));
  const { lines } = await train({}, { VASTLANE_RESUME_FROM: first });
  expect(lines[0]).toBe(`resumed at step ${Number(first.slice(-8))}`);
  expect(Number(first.slice(-8))).toBeLessThan(30);
  expect(await finished()).toEqual(await whole());
});

test("stands on its own: no variable set, a local folder, and when it is done there is nothing left to do", async () => {
  const none = { VASTLANE_CHECKPOINT_DIR: "", VASTLANE_LOG_DIR: "" };
  const first = await train({ steps: 14 }, none);
  expect(first.code).toBe(0);
  const made = join(dir, ".vastlane/runs/tiny");
  expect(readdirSync(join(made, "checkpoints"))).toEqual(["step-00000007", "step-00000014"]);
  expect(readFileSync(join(made, "logs/metrics.jsonl"), "utf8")).toMatch(/^{"step":5,"loss":/);
  const again = await train({ steps: 14 }, none);
  expect(again.lines).toEqual(["resumed at step 14", first.lines.at(-1)]);
});

test("takes its interval and how many to keep from the stack's variables", async () => {
  const env = { VASTLANE_CHECKPOINT_EVERY_SECONDS: "0.05", VASTLANE_KEEP_LAST: "2" };
  await train({ steps: 40, everySteps: 1000, stepMs: 20 }, env);
  const steps = listCheckpoints(join(dir, "checkpoints")).map((folder) => Number(folder.slice(-8)));
  expect(steps).toHaveLength(2);
  expect(steps[1]).toBe(40);
  expect(steps[0]).toBeGreaterThan(0);
});

test("a loss that is not a number ends the run at its step and names the last good checkpoint", async () => {
  const { code, lines } = await train({ nanAt: 19 });
  expect(code).toBe(1);
  expect(lines.join("\n")).toContain("VL_LOSS_NOT_FINITE: the loss of step 19 is NaN.");
  const newest = newestCheckpoint(join(dir, "checkpoints")) ?? "none";
  expect(lines.join("\n")).toContain(`the last checkpoint is ${newest}.`);
  expect(newest).toMatch(/step-00000014$/);
});

test.runIf(canMount)(
  "on a full disk it trains on and says what it cannot save; done is only what is kept",
  async () => {
    const disk = mountSmallDisk(4);
    const ballast = 125_000; // 1.5 MB a checkpoint
    const env = { VASTLANE_CHECKPOINT_DIR: join(disk, "checkpoints") };
    const ended = await train({ ballast, steps: 28, everySteps: 7 }, env);
    expect(ended.lines).toContain("disk full: checkpoint of step 21 not written");
    expect(ended.lines.join("\n")).toContain("\nVL_DISK_FULL: the last checkpoint, of step 28, could not be written");
    expect(ended.code).toBe(1);
    const kept = readdirSync(env.VASTLANE_CHECKPOINT_DIR);
    expect(kept).toEqual(["step-00000007", "step-00000014"]);
    rmSync(join(env.VASTLANE_CHECKPOINT_DIR, "step-00000007"), { recursive: true });
    const again = await train({ ballast, steps: 28, everySteps: 14 }, env);
    expect(again).toMatchObject({ code: 0, lines: expect.arrayContaining(["resumed at step 14"]) });
  },
);
