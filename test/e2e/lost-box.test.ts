/**
 * A dev box that ends, and the next one, through the CLI, the engine, OpenSSH and the emulated store: what was edited on
 * the first is on the second, and what deploys do with it there. The parts have their own tests; only a real `up` brings
 * a deploy and a snapshot together.
 */
import { spawn } from "node:child_process";
import { rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { finish, makeProject, repository, type TestProject } from "../helpers/project.ts";

let project: TestProject;
beforeAll(async () => {
  project = await makeProject({
    config: { checkpoint: { store: "s3", s3_bucket: "box", s3_prefix: "tests" } },
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
  writeFileSync(join(project.root, "train.py"), "print('v1')\n");
  writeFileSync(join(project.root, "model.py"), "layers = 2\n");
  writeFileSync(join(project.root, "old.py"), "old = 1\n");
});
afterAll(() => project?.dispose());

const up = async () => {
  const run = await project.vastlane(["up"]);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  return run.stdout + run.stderr;
};

const ssh = async (command: string) => {
  const entry = join(project.root, ".vastlane/ssh.d/vastlane-test.conf");
  const run = await finish(
    spawn("ssh", ["-F", entry, "vastlane-test", command], { env: { ...process.env, CI: "true" } }),
  );
  expect(run.code, run.stderr).toBe(0);
  return run.stdout;
};

const untilClaimed = () =>
  eventually(async () => (await ssh("cat /workspace/.vastlane/heartbeat.json")).includes('"state":"idle"'));

test("what was edited on the machine is on the next one, beside what was changed here meanwhile", async () => {
  await up();
  expect(await untilClaimed()).toBe(true);
  const [first] = await project.alive();
  await ssh("cd /workspace/project && echo \"print('edited there')\" >train.py && echo note >notes.md && rm old.py");
  await ssh("cd /workspace/project && echo 'layers = 8' >model.py");
  expect((await project.vastlane(["destroy"])).code).toBe(0);
  expect(await project.alive()).toEqual([]);
  writeFileSync(join(project.root, "model.py"), "layers = 4  # decided here\n");

  await up();
  expect(await untilClaimed()).toBe(true);
  expect(await project.alive()).not.toEqual([first]);
  expect(await ssh("cd /workspace/project && python3 train.py && cat notes.md model.py")).toBe(
    "edited there\nnote\nlayers = 4  # decided here\n",
  );
  expect(await ssh("ls /workspace/project")).not.toContain("old.py");
  expect(await ssh("cat /workspace/conflicts/*/model.py")).toBe("layers = 8\n");
  const said = await ssh("cat /workspace/logs/output.log");
  expect(said).toMatch(/brought back, as changed on the machine before \(.*Z\): notes\.md, train\.py\n/);
  expect(said).toMatch(/deleted again, as on the machine before: old\.py\n/);
  expect(said).toMatch(
    /changed on both sides: model\.py; the deployed files stay, .* are in \/workspace\/conflicts\/\d{8}T\d{6}\n/,
  );
});

test("the next up keeps what came back, by name", async () => {
  writeFileSync(join(project.root, "train.py"), "print('changed here later')\n");
  const past = new Date(Date.now() - 3600_000);
  utimesSync(join(project.root, "train.py"), past, past);
  expect(await up()).toContain("kept, as edited on the machine: train.py");
  expect(await ssh("cd /workspace/project && python3 train.py")).toBe("edited there\n");
  rmSync(join(project.root, "train.py"));
  expect(await up()).toContain("kept, as edited on the machine: train.py");
});
