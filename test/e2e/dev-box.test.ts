/**
 * A person's day on a dev box, through the CLI and OpenSSH: rent, look, edit on both sides, run, change the machine,
 * restart it, and end it. What it shows beyond the parts' own tests is that they hold together.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { finish, makeProject, repository, type TestProject } from "../helpers/project.ts";

let project: TestProject;
beforeAll(async () => {
  project = await makeProject({
    config: { experiment: { command: null }, secrets: ["HF_TOKEN"] },
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
  cpSync(join(repository, "experiments"), join(project.root, "experiments"), { recursive: true });
  mkdirSync(join(project.root, "data"));
  writeFileSync(join(project.root, "data/huge.bin"), "not for the machine");
  writeFileSync(join(project.root, "train.py"), "print('hello from the box')\n");
  writeFileSync(join(project.root, ".vastlaneignore"), "data/\n");
  writeFileSync(join(project.root, ".env"), "HF_TOKEN=hf_secret_value\n");
});
afterAll(() => project?.dispose());

const up = async (...args: string[]) => {
  const run = await project.vastlane(["up", ...args]);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  return run;
};

/** Through the host entry that `up` wrote, as a person's ssh, rsync and VS Code go. */
const ssh = (command: string) =>
  finish(
    spawn("ssh", ["-F", join(project.root, ".vastlane/ssh.d/vastlane-test.conf"), "vastlane-test", command], {
      env: { ...process.env, CI: "true" },
    }),
  );

test("up gives a machine with the project, the environment and the secrets, and ssh ready", async () => {
  const { stdout } = await up();
  expect(stdout).toMatch(/main: 1x RTX \d+ in .*\$0\.\d+\/h, contract \d+\n {2}npx vastlane ssh --stack test\n/);
  const box = await ssh(
    "cd /workspace/project && ls -a && python3 train.py && echo run=$VASTLANE_RUN_ID dev=$DEV_MODE && cat /workspace/.vastlane/run.json",
  );
  expect(box.code, box.stderr).toBe(0);
  expect(box.stdout).toContain("hello from the box");
  expect(box.stdout).toContain("run=test/box dev=True");
  expect(box.stdout).not.toMatch(/^(data|\.env|node_modules\/\.cache|\.vastlane)$/m);
  expect(box.stdout).not.toContain("hf_secret_value");
  const secret = await ssh("stat -c %a /workspace/.vastlane/secrets.env; cat /workspace/.vastlane/secrets.env");
  expect(secret.stdout).toMatch(/^600\n/);
  expect(secret.stdout).toContain("HF_TOKEN");
  const state = await project.pulumi(["stack", "export", "--show-secrets"]);
  expect(state.stdout).not.toContain("hf_secret_value");
});

test("a change here goes there without a new machine, and a change there is kept", async () => {
  const [before] = await project.alive();
  expect(
    (await ssh("cd /workspace/project && echo \"print('edited on the box')\" > train.py && echo note > NOTES.md")).code,
  ).toBe(0);
  writeFileSync(join(project.root, "eval.py"), "print('new here')\n");
  const { stderr } = await up();
  expect(await project.alive()).toEqual([before]);
  const box = await ssh("cd /workspace/project && python3 train.py && python3 eval.py && cat NOTES.md");
  expect(box.stdout).toBe("edited on the box\nnew here\nnote\n");
  expect(stderr).toMatch(/sending 1/);
});

test("status names the machine, its stack, its price and how to reach it", async () => {
  const { stdout } = await project.vastlane(["status"]);
  expect(stdout).toMatch(/CONTRACT\s+STACK\s+GPU\s+STATE\s+\$\/h\s+AGE\s+MAX COST/);
  expect(stdout).toMatch(/\d+\s+test\s+1x RTX \d+\s+running\s+\$0\.\d+/);
  expect(stdout).toContain("npx vastlane ssh --stack test");
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  const json = JSON.parse((await project.vastlane(["status", "--json"])).stdout);
  expect(json).toMatchObject({
    market: project.emulator.url,
    machines: [
      { stack: "test", name: "main", owner: "ours", situation: "running", ssh: "npx vastlane ssh --stack test" },
    ],
  });
});

test("a stopped machine is told apart with what its disk costs, and up starts it again with its files", async () => {
  const [id] = await project.alive();
  await fetch(`${project.emulator.url}/api/v0/instances/${id}/`, {
    method: "PUT",
    headers: { authorization: `Bearer ${project.emulator.apiKey}`, "content-type": "application/json" },
    body: '{"state":"stopped"}',
  });
  expect(await eventually(async () => (await project.vastlane(["status"])).stdout.includes("their disks bill"))).toBe(
    true,
  );
  expect((await project.vastlane(["status", "--all"])).stdout).toMatch(/stopped/);
  await up();
  expect(await project.alive()).toEqual([id]);
  expect((await ssh("cat /workspace/project/NOTES.md")).stdout).toBe("note\n");
});

test("an experiment runs under the agent, goes on after the machine restarts, and its log can be followed", async () => {
  project.configure({
    secrets: ["HF_TOKEN"],
    experiment: { command: ["node", "experiments/bigram.ts"], params: { steps: 1200 } },
    checkpoint: { everySteps: 100 },
  });
  await up();
  const [id] = await project.alive();
  expect(await eventually(async () => /step [2-9]00/.test((await project.vastlane(["logs"])).stdout))).toBe(true);
  await fetch(`${project.emulator.url}/api/v0/instances/reboot/${id}/`, {
    method: "PUT",
    headers: { authorization: `Bearer ${project.emulator.apiKey}`, "content-type": "application/json" },
    body: "{}",
  });
  expect(
    await eventually(async () => (await ssh("cat /workspace/.vastlane/heartbeat.json")).stdout.includes('"running"')),
  ).toBe(true);
  const { code, stdout } = await project.vastlane(["logs", "-f", "-n", "500"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/done: loss \d\.\d+ after 1200 steps/);
  expect(stdout).toMatch(/resum/i);
});

test("destroy ends it, shows the bill, and leaves no host entry", async () => {
  const { code, stdout } = await project.vastlane(["destroy"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /contract \d+: 1x RTX \d+ for .*, at most \$0\.\d+\nStack test: 0 machines left, billing \$0\.0000\/h\./,
  );
  expect(await project.alive()).toEqual([]);
  expect((await ssh("true")).code).not.toBe(0);
});
