/** The first real model as a process: it learns, and a run that was killed is the same run, bit for bit. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newestCheckpoint } from "../../../runtime/checkpoint/index.ts";
import { hashState } from "../../../runtime/trainer/index.ts";

const script = fileURLToPath(new URL("../../../experiments/char-gpt.ts", import.meta.url));
const PARAMS = { steps: 90, layers: 1, width: 32, learningRate: 8e-3, logEvery: 10, evalEvery: 45, sampleLength: 40 };

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "vl-char-gpt-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Runs it in a folder of that name; `kill` ends it with SIGKILL once it has printed such a line and made a checkpoint. */
function train(name: string, { kill, params = {} }: { kill?: RegExp; params?: object } = {}) {
  const dir = join(home, name);
  const env = {
    ...process.env,
    DEV_MODE: "True",
    VASTLANE_PARAMS: JSON.stringify({ ...PARAMS, ...params }),
    VASTLANE_CHECKPOINT_DIR: join(dir, "checkpoints"),
    VASTLANE_LOG_DIR: join(dir, "logs"),
    VASTLANE_CHECKPOINT_EVERY_STEPS: "15",
  };
  const child = spawn(process.execPath, [script], { env, cwd: home, stdio: ["ignore", "pipe", "pipe"] });
  const before = newestCheckpoint(join(dir, "checkpoints"));
  let output = "";
  const read = (text: string) => {
    output += text;
    if (kill?.test(output) && newestCheckpoint(join(dir, "checkpoints")) !== before) child.kill("SIGKILL");
  };
  child.stdout.setEncoding("utf8").on("data", read);
  child.stderr.setEncoding("utf8").on("data", read);
  return new Promise<{ code: number | null; output: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, output })),
  );
}

async function finished(name: string) {
  const lines = readFileSync(join(home, name, "logs/metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  const losses = Object.fromEntries(lines.map((line) => JSON.parse(line)).map(({ step, loss }) => [step, loss]));
  return { losses, ...(await hashState(newestCheckpoint(join(home, name, "checkpoints")) ?? "")) };
}

test("learns, writes, and ends with the same bits when it is killed", async () => {
  const whole = await train("whole");
  expect(whole.code).toBe(0);
  const left = await finished("whole");
  expect(left.losses[10]).toBeGreaterThan(3);
  expect(left.losses[90]).toBeLessThan(left.losses[10] - 0.5);
  expect(whole.output).toMatch(/^char-gpt: corpus \d\.\d MB, \d+ characters, \d+ parameters, 90 steps\n/);
  expect(whole.output).toMatch(/\ndone: loss \d\.\d{4}, evaluation \d\.\d{4} after 90 steps\n$/);

  await train("killed", { kill: /step 20 / });
  const last = await train("killed");
  expect(last.output).toMatch(/resumed at step \d+\n/);
  expect(await finished("killed")).toEqual(left);
  // The text that it writes follows from the parameters alone.
  const written = (output: string) => output.slice(output.search(/step 90 evaluation/));
  expect(written(last.output)).toBe(written(whole.output));

  const other = await train("killed", { params: { width: 16 } });
  expect(other.code).toBe(1);
  expect(other.output).toMatch(/\nVL_CHECKPOINT_BAD: .*was made with other parameters\.\n.*width 32, not 16\.\n.*\n$/);
}, 60_000);
