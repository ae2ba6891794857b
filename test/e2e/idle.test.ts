/**
 * A dev box that nobody uses ends its own bill: it warns, stops with its disk kept, stays stopped under a watcher, and
 * comes back with `up`. Minutes are seconds here; only a rented machine can stop itself.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { finish, makeProject, repository, type TestProject } from "../helpers/project.ts";

const WARNING = "nothing has moved on this machine";
const KEPT = "kept between two starts";
const IDLE_SECONDS = 8;
let project: TestProject;
let sessions: ChildProcess[] = [];
beforeAll(async () => {
  project = await makeProject({
    config: {
      experiment: { command: null },
      checkpoint: { store: "s3", s3_bucket: "box" },
      machine: { diskGB: 10, loadingTimeoutMinutes: 1, env: { VASTLANE_IDLE_SECONDS: String(IDLE_SECONDS) } },
    },
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
});
afterEach(() => {
  for (const session of sessions) session.kill();
  sessions = [];
});
afterAll(() => project?.dispose());

async function vastlane(...args: string[]): Promise<string> {
  const run = await project.vastlane(args);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  return run.stdout;
}

function ssh(command: string): ChildProcess {
  const entry = join(project.root, ".vastlane/ssh.d/vastlane-test.conf");
  return spawn("ssh", ["-F", entry, "vastlane-test", command], { env: { ...process.env, CI: "true" } });
}

const onMachine = async (command: string) => (await finish(ssh(command))).stdout;
const contracts = () => project.market.contracts();
const isStopped = async () => (await contracts())[0]?.phase === "stopped";

test("an idle box warns and stops itself, stays so under a watcher, and comes back with its disk", async () => {
  await vastlane("up");
  await onMachine(`echo '${KEPT}' >/root/note`);
  expect(await eventually(isStopped, 60_000)).toBe(true);
  expect(await contracts()).toMatchObject([{ phase: "stopped", isMachineRunning: false, destroyedAt: null }]);

  expect(await vastlane("watch", "--once", "--stack", "test")).toContain("it stopped itself");
  expect(await contracts()).toMatchObject([{ phase: "stopped" }]);

  const [before] = await project.alive();
  await vastlane("up");
  expect(await contracts()).toMatchObject([{ id: before, phase: "running" }]);
  const shown = await onMachine("cat /root/note /workspace/logs/output.log");
  expect(shown).toContain(KEPT);
  expect(shown).toContain(WARNING);
});

test("a box whose files keep changing is not stopped", async () => {
  await vastlane("up");
  sessions.push(ssh("while :; do touch /workspace/project/changing; sleep 0.5; done"));
  expect(await eventually(async () => (await onMachine("ls /workspace/project")).includes("changing"))).toBe(true);
  const before = (await onMachine("cat /workspace/logs/output.log")).split(WARNING).length;
  await new Promise((resolve) => setTimeout(resolve, 3 * IDLE_SECONDS * 1000));
  expect(await contracts()).toMatchObject([{ phase: "running", isMachineRunning: true }]);
  const after = (await onMachine("cat /workspace/logs/output.log")).split(WARNING).length;
  expect(after).toBe(before);
});
