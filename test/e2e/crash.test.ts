/**
 * SIGKILL of engine, provider or both at each numbered point of lifecycle.ts, under the real engine, then a recovery.
 * Cheaper tests cannot show it: what counts is what state file, lock, plugin process and market hold together.
 * `npm run kills` runs the whole matrix, and kills at random moments.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { type KillCase, killOnce } from "../helpers/kills.ts";
import { makeProject, type TestProject } from "../helpers/project.ts";

let project: TestProject;
beforeAll(async () => {
  project = await makeProject();
});
afterAll(() => project?.dispose());

/** Every point, with victims and recoveries taking turns. */
const CASES: KillCase[] = [
  { verb: "up", at: "rent-intended", victim: "engine", recovery: "vastlane destroy" },
  { verb: "up", at: "rent-sent", victim: "engine", recovery: "pulumi destroy" },
  { verb: "up", at: "rent-sent", victim: "both", recovery: "vastlane destroy" },
  { verb: "up", at: "rent-answered", victim: "provider", recovery: "vastlane up" },
  { verb: "up", at: "rent-answered", victim: "engine", recovery: "pulumi destroy" },
  { verb: "up", at: "rent-recorded", victim: "both", recovery: "pulumi destroy" },
  { verb: "up", at: "running", victim: "engine", recovery: "vastlane up" },
  { verb: "up", at: "key-attached", victim: "both", recovery: "vastlane up" },
  { verb: "up", at: "ready", victim: "provider", recovery: "pulumi destroy" },
  { verb: "destroy", at: "destroy-intended", victim: "engine", recovery: "pulumi destroy" },
  { verb: "destroy", at: "destroy-sent", victim: "both", recovery: "vastlane destroy" },
  { verb: "destroy", at: "destroy-proven", victim: "provider", recovery: "vastlane up" },
  { verb: "destroy", at: "sweep-begun", victim: "both", recovery: "pulumi destroy" },
  { verb: "destroy", at: "sweep-done", victim: "engine", recovery: "vastlane destroy" },
];

test.each(CASES)("$verb killed at $at ($victim), then $recovery: nothing leaks", async (kill) => {
  expect(await killOnce(project, kill)).toEqual([]);
});

test.each(["vastlane destroy", "pulumi destroy"])(
  "a state sidecar that a kill left empty does not keep %s from ending all",
  async (how) => {
    expect((await project.vastlane(["up"])).code).toBe(0);
    const sidecar = join(project.root, ".vastlane/state/.pulumi/stacks/vltest/test.json.attrs");
    writeFileSync(sidecar, "");
    expect((await project.pulumi(["stack", "export"])).code).not.toBe(0); // what the engine makes of it
    if (how === "pulumi destroy") {
      const { stderr } = await project.vastlane(["env", project.stack]);
      expect(stderr).toContain(`removed a half-written file of a killed Pulumi run: ${sidecar}`);
      expect((await project.pulumi(["destroy", "--yes", "--skip-preview"])).code).toBe(0);
    } else expect((await project.vastlane(["destroy"])).code).toBe(0);
    expect(await project.alive()).toEqual([]);
  },
);
