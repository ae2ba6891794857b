/** The demo as a newcomer runs it: the text can be read, the figures are there, nothing is left. */

import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DemoResult } from "../../cli/commands/demo.ts";
import { engineChildren } from "../../infra/engine-process.ts";
import { engineTest } from "../helpers/engine-test.ts";
import { finish, repository } from "../helpers/project.ts";

let root: string;
beforeAll(() => {
  // The files of the project without its own `.vastlane`, so that a demo of the person's is not disturbed.
  root = mkdtempSync(join(tmpdir(), "vastlane-demo-"));
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: repository, encoding: "utf8" });
  for (const file of files.split("\n").filter(Boolean))
    cpSync(join(repository, file), join(root, file), { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(root, "node_modules"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What every demo must have come to, whatever carried it out. */
function expectStory(result: DemoResult): void {
  const { seconds, recovery, hashes } = result;
  expect(result).toMatchObject({ ok: true, preemptions: 1, bitExact: true, contractsAfter: 0, billingPerHourAfter: 0 });
  expect(result.stepResumed).toBeGreaterThan(0);
  expect(result.stepAtPreemption).toBeGreaterThan(result.stepResumed ?? 0);
  expect((result.stepAtPreemption ?? 0) % 20).not.toBe(0);
  expect(result.lostSteps).toBe((result.stepAtPreemption ?? 0) - (result.stepResumed ?? 0));
  expect(result.finalStep).toBe(160);
  expect(new Set(result.contracts).size).toBe(2);
  expect(seconds.recovery).toBeGreaterThan(0);
  const parts = (recovery?.detect ?? 0) + (recovery?.rentToSsh ?? 0) + (recovery?.sshToFirstStep ?? 0);
  expect(Math.abs(parts - (seconds.recovery ?? 0))).toBeLessThan(0.5);
  expect(hashes?.interrupted).toEqual(hashes?.uninterrupted);
  expect(hashes?.interrupted.params).toMatch(/^[0-9a-f]{64}$/);
  expect(result.costUsd).toBeGreaterThan(0);
}

const readResult = () => JSON.parse(readFileSync(join(root, ".vastlane/demo.json"), "utf8")) as DemoResult;

engineTest("the demo trains, loses its machine, ends elsewhere with the same bits, and says what it cost", async () => {
  const { code, stdout, stderr } = await finish(
    spawn(process.execPath, [join(root, "cli/main.ts"), "demo"], { cwd: root }),
  );
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/1\/6 {2}A marketplace with \d+ GPU machines is open/);
  expect(stdout).toMatch(/step \d+ loss \d\.\d+/);
  expect(stdout).toMatch(/3\/6 {2}Preemption at step \d+, without a warning/);
  expect(stdout).toMatch(/It goes on from step \d+: \d+ steps are done again/);
  expect(stdout).toMatch(/params {4}[0-9a-f]{16}… = [0-9a-f]{16}…/);
  expect(stdout).toMatch(/Machines left: 0\. Billing now: \$0\.0000\/h/);
  const result = readResult();
  expect(result.engine).toBe("pulumi 3.259.0");
  expectStory(result);
  expect(engineChildren(root)).toEqual([]);
  expect(execFileSync("git", ["status", "--short"], { cwd: repository, encoding: "utf8" })).not.toContain("demo.json");
});

test("where no engine can be had, the demo says so first and runs the same program in process", async () => {
  const env = {
    ...process.env,
    PULUMI_HOME: join(root, "no-pulumi"),
    VASTLANE_ENGINE_MIRROR: root,
    VASTLANE_OFFLINE: "1",
  };
  const child = spawn(process.execPath, [join(root, "cli/main.ts"), "demo"], { cwd: root, env });
  const { code, stdout, stderr } = await finish(child);
  expect(code, stdout + stderr).toBe(0);
  expect(stdout.split("\n")[0]).toMatch(/^There is no Pulumi engine on this computer/);
  const result = readResult();
  expect(result.engine).toBe("none (in process)");
  expectStory(result);
});
