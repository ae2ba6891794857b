/**
 * A dev box that ends, and the next one, through the CLI, the engine, OpenSSH and the emulated store: what was edited on
 * the first is on the second. And what its host, a stranger, could read of ours while it ran. The parts have their own
 * tests; only a real `up` brings together everything that reaches a machine.
 */
import { spawn } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { finish, makeProject, repository, type TestProject } from "../helpers/project.ts";
import { makeKey } from "../helpers/sshd.ts";

let project: TestProject;
let privateKey: string;
beforeAll(async () => {
  project = await makeProject({
    emulator: { binds: [{ from: join(repository, "node_modules"), to: "/opt/vastlane/node_modules" }] },
  });
  privateKey = makeKey(join(project.root, ".vastlane", "test-key"));
  project.configure({
    checkpoint: { store: "s3", s3_bucket: "box", s3_prefix: "tests" },
    ssh: { publicKey: `${privateKey}.pub`, privateKey },
    secrets: ["HF_TOKEN"],
  });
  writeFileSync(join(project.root, "train.py"), "print('v1')\n");
  writeFileSync(join(project.root, "model.py"), "layers = 2\n");
  writeFileSync(join(project.root, "old.py"), "old = 1\n");
  writeFileSync(join(project.root, ".env"), "HF_TOKEN=hf_secret_value\n");
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

test("nothing on the machine shows the account key, the store's own key or a private SSH key", async () => {
  await up();
  expect(await untilClaimed()).toBe(true);
  const [id] = await project.alive();
  const { apiKey, s3 } = project.emulator;
  const secretLines = readFileSync(privateKey, "utf8")
    .split("\n")
    .filter((line) => line.length > 40)
    .slice(1); // every key's first line is the same
  const needles = [apiKey, s3.secretAccessKey, ...secretLines];

  const files = filesBelow(join(project.emulator.home, "machines", String(id)));
  expect(files.length).toBeGreaterThan(10);
  const found = (text: Buffer | string, wanted: readonly string[]) => wanted.filter((needle) => text.includes(needle));
  for (const path of files) expect(found(readFileSync(path), needles), path).toEqual([]);

  // Of every process in there, the first included: what it was started with.
  const processes = await ssh(
    'for p in /proc/[0-9]*; do tr "\\0" "\\n" <$p/environ; tr "\\0" " " <$p/cmdline; echo; done 2>&1',
  );
  expect(processes).toContain("agent.mjs");
  expect(processes).toContain("CONTAINER_API_KEY="); // the search did reach the first process
  expect(found(processes, needles)).toEqual([]);

  // The run's own keys are in one private file, and the agent's memory.
  const access = JSON.parse(await ssh("cat /workspace/.vastlane/store.json"));
  expect(access.secretAccessKey).toMatch(/.{16,}/);
  expect(await ssh("stat -c %a /workspace/.vastlane/store.json")).toBe("600\n");
  expect(found(processes + (await ssh("env")), [access.secretAccessKey])).toEqual([]);
  const holders = files.filter((path) => readFileSync(path).includes(access.secretAccessKey));
  expect(holders.map((path) => path.slice(path.indexOf("/disk/")))).toEqual(["/disk/workspace/.vastlane/store.json"]);
});

test("what was edited on the machine is on the next one, beside what was changed here meanwhile", async () => {
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

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const stat = lstatSync(path);
    return stat.isDirectory() ? filesBelow(path) : stat.isFile() ? [path] : [];
  });
}
