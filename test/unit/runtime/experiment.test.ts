/** Each in a process of its own: signals, exit codes and environment are what this is about. */
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vl-experiment-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const module = new URL("../../../runtime/experiment.ts", import.meta.url).href;
const open = `import { openExperiment, packageFolder } from ${JSON.stringify(module)};
const run = openExperiment({ name: "x", params: { steps: 9, width: 8 }, devParams: { steps: 3 } });`;

function start(text: string, env: Record<string, string> = {}) {
  const given = { PATH: process.env.PATH, ...env };
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", `${open}\n${text}`], {
    cwd: dir,
    env: given,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("parameters: those of the code, smaller ones under DEV_MODE, and over both what is given", () => {
  const show = "console.log(JSON.stringify(run.params), run.isDev)";
  expect(start(show).stdout).toBe('{"steps":9,"width":8} false\n');
  expect(start(show, { DEV_MODE: "True" }).stdout).toBe('{"steps":3,"width":8} true\n');
  const given = { DEV_MODE: "1", VASTLANE_PARAMS: '{"steps":5,"more":"x"}' };
  expect(start(show, given).stdout).toBe('{"steps":5,"width":8,"more":"x"} true\n');
});

test.each(["{steps: 5}", "[1]", "5", "null"])(
  "parameters that are no JSON object are refused in three lines: %s",
  (text) => {
    const { status, stderr } = start("", { VASTLANE_PARAMS: text });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^VL_BAD_CONFIG: VASTLANE_PARAMS is .*\n {2}why: .*\n {2}do: .*\n$/);
  },
);

test("metrics go to a line each, and one that a kill has cut spoils no other", () => {
  const log = "run.logMetrics(1, { loss: 0.5 }); run.logMetrics(2, { loss: 0.25 });";
  start(log);
  const path = join(dir, ".vastlane/runs/x/logs/metrics.jsonl");
  appendFileSync(path, '{"step":3,"lo');
  start(log);
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  expect(lines).toHaveLength(5);
  expect(JSON.parse(lines[4] ?? "")).toEqual({ step: 2, loss: 0.25, time: expect.any(Number) });
});

test("on SIGTERM it is asked to stop; stopped is not done", () => {
  const text = `process.kill(process.pid, "SIGTERM");
while (!(await run.shouldStop()));
run.leave("stopped");`;
  expect(start(text)).toEqual({ status: 143, stdout: "stopped\n", stderr: "" });
});

test("other errors keep their stack", () => {
  const { status, stderr } = start('function guilty() { throw new Error("oh"); } guilty();');
  expect(status).toBe(1);
  expect(stderr).toMatch(/Error: oh\n.* at guilty/);
});

test("packages are found in the project, and one that is nowhere is named", () => {
  expect(start('console.log(packageFolder("typescript"))').stdout).toMatch(/node_modules\/typescript\n$/);
  expect(start('packageFolder("no-such-package")').stderr).toContain("the package no-such-package is neither in");
});
