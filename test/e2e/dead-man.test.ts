/**
 * Machines that nobody needs any more end themselves, with nobody's laptop in reach: the market's own view of it. Only a
 * rented machine has what it takes (its own key, terminals, a GPU that is asked). Minutes are seconds here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { makeProject, repository, type TestProject } from "../helpers/project.ts";

const STORE = { store: "s3", s3_bucket: "box", s3_prefix: "tests" };
let project: TestProject;
let sessions: ChildProcess[] = [];
beforeAll(async () => {
  project = await makeProject({
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
});
afterEach(() => {
  for (const session of sessions) session.kill();
  sessions = [];
});
afterAll(() => project?.dispose());

async function up(config: Record<string, unknown>): Promise<number> {
  project.configure(config);
  const run = await project.vastlane(["up"]);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  return (await project.alive())[0] as number;
}

const contract = async (id: number) => (await project.market.contracts()).find((it) => it.id === id);

/** A terminal on the machine, open until the test's end; what it shows. */
function openTerminal(command: string): () => string {
  const entry = join(project.root, ".vastlane/ssh.d/vastlane-test.conf");
  const session = spawn("ssh", ["-tt", "-F", entry, "vastlane-test", command], {
    env: { ...process.env, CI: "true" },
    stdio: ["pipe", "pipe", "ignore"],
  });
  sessions.push(session);
  let shown = "";
  session.stdout?.on("data", (chunk) => {
    shown += chunk;
  });
  return () => shown;
}

test("a dev box stays while somebody types, and is about to end when only a forgotten monitor is left", async () => {
  const id = await up({
    checkpoint: STORE,
    machine: { diskGB: 10, loadingTimeoutMinutes: 1, env: { VASTLANE_IDLE_SECONDS: "14" } },
  });
  const monitor = openTerminal("while :; do date; sleep 1; done");
  openTerminal("cat");
  const typing = setInterval(() => sessions.at(-1)?.stdin?.write("x\n"), 500);
  await new Promise((resolve) => setTimeout(resolve, 24_000));
  clearInterval(typing);
  expect((await contract(id))?.phase).toBe("running");
  expect(monitor()).not.toContain("[vastlane]");

  expect(await eventually(() => monitor().includes("[vastlane] nothing has moved on this machine"), 40_000)).toBe(true);
  expect(monitor()).toMatch(/it stops itself in \d+ s unless something does/);
  expect((await contract(id))?.phase).toBe("running");
  expect((await project.vastlane(["destroy"])).code).toBe(0);
});

test("a run that is done, with all of it in the store, destroys its machine", async () => {
  writeFileSync(join(project.root, "job.py"), "print('worked')\n");
  const id = await up({ checkpoint: STORE, experiment: { command: ["python3", "job.py"] } });
  expect(await eventually(async () => (await contract(id))?.destroyedAt !== null, 60_000)).toBe(true);
  expect(await project.alive()).toEqual([]);
});
