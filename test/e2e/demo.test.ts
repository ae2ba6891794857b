/** The demo as a newcomer runs it: the text can be read, the figures are there, nothing is left. */

import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
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

engineTest("the demo rents, trains, shows the loss over SSH, destroys, and says what it cost", async () => {
  const { code, stdout, stderr } = await finish(
    spawn(process.execPath, [join(root, "cli/main.ts"), "demo"], { cwd: root }),
  );
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/1\/5 {2}A marketplace with \d+ GPU machines is open/);
  expect(stdout).toMatch(/step \d+ loss \d\.\d+/);
  expect(stdout).toMatch(/C\.\d+\n\s+done: loss \d\.\d+ after \d+ steps/);
  expect(stdout).toMatch(/Machines left: 0\. Billing now: \$0\.0000\/h/);
  const result = JSON.parse(readFileSync(join(root, ".vastlane/demo.json"), "utf8"));
  expect(result).toEqual({
    ok: true,
    engine: "pulumi 3.259.0",
    seconds: { total: expect.any(Number), upToFirstStep: expect.any(Number), recovery: null },
    preemptions: null,
    stepAtPreemption: null,
    finalStep: expect.any(Number),
    bitExact: null,
    costUsd: expect.any(Number),
    contractsAfter: 0,
    billingPerHourAfter: 0,
  });
  expect(result.costUsd).toBeGreaterThan(0);
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
  const result = JSON.parse(readFileSync(join(root, ".vastlane/demo.json"), "utf8"));
  expect(result).toMatchObject({ ok: true, engine: "none (in process)", contractsAfter: 0, billingPerHourAfter: 0 });
});
