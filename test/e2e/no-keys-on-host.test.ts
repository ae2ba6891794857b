/**
 * A rented host belongs to somebody else: whoever runs it can read the machine's disk, memory of its processes and logs.
 * So nothing of the account may be there. Only a machine that a real `up` has made shows it.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { listProcesses, markerOf, readMarker } from "../../emulator/machine/processes.ts";
import { engineTest as test } from "../helpers/engine-test.ts";
import { eventually } from "../helpers/kills.ts";
import { makeProject, type TestProject } from "../helpers/project.ts";
import { writeStepper } from "../helpers/stepper.ts";

let project: TestProject;
beforeAll(async () => {
  project = await makeProject();
});
afterAll(() => project?.dispose());

/** Every file of the machine's folder, its log included, by its path in there. */
function filesOf(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    try {
      files.set(relative(folder, path), readFileSync(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // the run goes on: a file may go
    }
  }
  return files;
}

/** Command line and environment of every process of the machine, sandbox included, by name and kind. */
function processesOf(contract: number): Map<string, Buffer> {
  const { home } = project.emulator;
  const { first } = JSON.parse(readFileSync(join(home, `machines/${contract}/run.json`), "utf8"));
  const ours = readlinkSync("/proc/self/ns/pid");
  const namespace = readlinkSync(`/proc/${first.pid}/ns/pid`);
  const found = new Map<string, Buffer>();
  for (const { pid } of listProcesses()) {
    try {
      const isInside = namespace !== ours && readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
      if (!isInside && readMarker(pid) !== markerOf(home, contract)) continue;
      for (const kind of ["cmdline", "environ"]) found.set(`${pid}/${kind}`, readFileSync(`/proc/${pid}/${kind}`));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

const holding = (all: Map<string, Buffer>, secret: string) =>
  [...all].filter(([, bytes]) => bytes.includes(secret)).map(([name]) => name);

test("neither the account's key nor the store's nor the SSH key is on the host; the run's own store key is in one file", async ({
  skip,
}) => {
  skip(process.platform !== "linux", "other systems have no /proc to look into");
  const command = writeStepper(project.root);
  project.configure({
    checkpoint: { store: "s3", s3_bucket: "runs" },
    experiment: { command, params: { steps: 100_000 } },
  });
  const run = await project.vastlane(["up"]);
  expect(run.code, run.stdout + run.stderr).toBe(0);
  const [contract = 0] = await project.alive();
  const folder = join(project.emulator.home, `machines/${contract}`);
  // The command runs, the agent has written to the store: everything that is ever handed over has been.
  const log = (name: string) => [...filesOf(folder).keys()].find((path) => path.endsWith(`logs/${name}`));
  expect(await eventually(() => log("metrics.jsonl") !== undefined, 30_000)).toBe(true);
  expect(await eventually(async () => ((await project.market.status()).s3?.objects ?? 0) > 3, 30_000)).toBe(true);

  const files = filesOf(folder);
  const processes = processesOf(contract);
  expect(files.size).toBeGreaterThan(20);
  const commands = [...processes].filter(([name]) => name.endsWith("cmdline")).map(([, bytes]) => String(bytes));
  for (const name of ["sshd", "agent", "train.mjs"]) expect(commands.join("\n")).toContain(name);

  // The machine's own key is there, so the search finds what there is.
  const own = files.get([...files.keys()].find((path) => path.endsWith("root/.vast_api_key")) ?? "")?.toString() ?? "";
  expect(own).toMatch(/^[0-9a-f]{16,}$/);
  expect(holding(processes, own)).not.toEqual([]);

  const privateKey = readFileSync(join(project.root, ".vastlane/ssh/id_ed25519"), "utf8");
  const secrets = {
    "account key": project.emulator.apiKey,
    "root key of the store": project.emulator.s3.secretAccessKey,
    "SSH key": privateKey.split("\n")[2] ?? "",
  };
  for (const [name, secret] of Object.entries(secrets)) {
    expect(secret.length, name).toBeGreaterThan(15);
    expect([name, holding(files, secret)]).toEqual([name, []]);
    expect([name, holding(processes, secret)]).toEqual([name, []]);
  }

  const [storePath = ""] = [...files.keys()].filter((path) => path.endsWith(".vastlane/store.json"));
  const store = JSON.parse(String(files.get(storePath)));
  expect(store.secretAccessKey).not.toBe(project.emulator.s3.secretAccessKey);
  expect(lstatSync(join(folder, storePath)).mode & 0o777).toBe(0o600);
  expect(holding(files, store.secretAccessKey)).toEqual([storePath]);
  expect(holding(processes, store.secretAccessKey)).toEqual([]);
});
