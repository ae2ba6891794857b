/**
 * Agents, commands and a store as real processes: what happens to a run when its machine is killed, frozen or told to
 * go, and another one takes over. The time to live of the lease is shortened; everything else is as on a machine.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readHead, readLease, readLineage, readRunRecord } from "../../../runtime/lease/index.ts";
import { type OpenStore, openStore } from "../../../runtime/store/index.ts";
import { type AgentMachine, makeAgentMachine } from "../../helpers/agent-machine.ts";
import { makeBucket, startEmulatedS3 } from "../../helpers/s3.ts";
import { STEPPER } from "../../helpers/stepper.ts";
import { findCommands, findSupervised } from "../../helpers/supervised.ts";
import { openTunnel } from "../../helpers/tunnel.ts";

const TTL_SECONDS = 3;
const BUCKET = "runs";
let s3: Awaited<ReturnType<typeof startEmulatedS3>>;
let store: OpenStore;
let count = 0;
let machines: AgentMachine[] = [];

beforeAll(async () => {
  s3 = await startEmulatedS3();
  await makeBucket(s3, BUCKET);
});
afterAll(() => s3?.stop());
beforeEach(() => {
  count += 1;
  store = openStore({ ...s3, bucket: BUCKET, prefix: `test/run${count}` });
});
afterEach(async () => {
  await Promise.all(machines.map((machine) => machine.end()));
  machines = [];
  store.close();
});

/** A machine with an empty disk that serves the test's run. */
async function rent(run: object, contractId = machines.length + 1): Promise<AgentMachine> {
  const machine = await makeAgentMachine();
  machines.push(machine);
  writeFileSync(
    machine.workspace.files.store,
    JSON.stringify({ ...s3, bucket: BUCKET, prefix: `test/run${count}`, pathStyle: true }),
  );
  writeFileSync(machine.workspace.files.price, "0.36\n");
  machine.setRun({ codeHash: "c1", paramsHash: "p1", contractId, maxCrashes: 3, command: null, ...run });
  return machine;
}

const start = (machine: AgentMachine, ...args: string[]) =>
  machine.startWith({ VASTLANE_LEASE_TTL_SECONDS: String(TTL_SECONDS) }, ...args);

/** As a preemption does: everything on the machine at once, without a warning. */
function preempt(machine: AgentMachine): void {
  process.kill(machine.agentPid(), "SIGKILL");
  for (const pid of findSupervised(machine.root)) process.kill(pid, "SIGKILL");
}

/** As the stepper of the helpers: counts steps from where it resumed, and publishes every fifth by renaming a folder. */
const PYTHON = `
import json, os, signal, sys, time
last = int(json.loads(os.environ["VASTLANE_PARAMS"])["steps"])
into, resume = os.environ["VASTLANE_CHECKPOINT_DIR"], os.environ["VASTLANE_RESUME_FROM"]
step = json.load(open(resume + "/state.json"))["step"] if resume else 0
print("begins at", step, flush=True)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
def save():
    tmp = f"{into}/.tmp-{step}"
    os.makedirs(tmp, exist_ok=True)
    json.dump({"step": step}, open(tmp + "/state.json", "w"))
    if not os.path.exists(f"{into}/step-{step}"): os.rename(tmp, f"{into}/step-{step}")
os.makedirs(os.environ["VASTLANE_LOG_DIR"], exist_ok=True)
while step < last:
    step += 1
    time.sleep(0.05)
    with open(os.environ["VASTLANE_LOG_DIR"] + "/metrics.jsonl", "a") as f: f.write(json.dumps({"step": step, "loss": 1 / step}) + "\\n")
    if stop: save(); print("stopped at", step, flush=True); sys.exit(143)
    if step % 5 == 0: save()
print("done at", step, flush=True)
`;

type Language = [name: string, file: string, text: string, program: string];
const LANGUAGES: Language[] = [
  ["Python", "train.py", PYTHON, "python3"],
  ["Node", "train.mjs", STEPPER, process.execPath],
];

async function rentTrainer(language: Language, run: object = {}, contractId?: number) {
  const [, file, text, program] = language;
  const machine = await rent({ command: [program, file], params: { steps: 400 }, graceSeconds: 3, ...run }, contractId);
  writeFileSync(join(machine.root, "project", file), text);
  return machine;
}
const python = (run: object = {}, contractId?: number) => rentTrainer(LANGUAGES[0] as Language, run, contractId);

/** Polls the store until the condition gives something. */
async function untilStored<T>(look: () => Promise<T | undefined | false>, ms = 15_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end)
      throw new Error(`not within ${ms} ms: ${look}\n${machines.map((it) => it.agentLog()).join("\n--\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const stepOf = (id: string | null | undefined) => Number(/step-(\d+)/.exec(id ?? "")?.[1] ?? -1);
const untilUploaded = (least: number) =>
  untilStored(async () => {
    const step = stepOf((await readHead(store)).head?.checkpoint);
    return step >= least && step;
  });

describe.each(LANGUAGES)("a run of a %s command", (...language) => {
  test("goes on elsewhere from the newest uploaded checkpoint when its machine is killed", async () => {
    const first = await rentTrainer(language);
    await start(first);
    await untilUploaded(10);
    preempt(first);

    const second = await rentTrainer(language);
    await start(second);
    await second.until(() => /begins at/.test(second.output()), 15_000);
    // The kill may have come between a manifest and the head: then the lineage has one more than the head said.
    const uploaded = stepOf((await readLineage(store)).find((id) => id.endsWith(".e00001")));
    expect(second.output()).toContain(`begins at ${uploaded}\n`);
    expect(uploaded).toBeGreaterThan(0);
    await untilUploaded(uploaded + 5);
    expect((await readLease(store))?.record).toMatchObject({ epoch: 2, holder: { contractId: 2 } });
    // A script that is run by hand resumes as well.
    expect(readFileSync(second.workspace.files.resume, "utf8")).toMatch(/^VASTLANE_RESUME_FROM=\/.*\/step-\d+\n$/);
    expect((await readLineage(store)).map((id) => id.slice(-7))).toEqual(
      expect.arrayContaining([".e00001", ".e00002"]),
    );
  });

  test("saves its last step and gives the run back when told to stop", async () => {
    const machine = await rentTrainer(language);
    await start(machine);
    await machine.until(() => (machine.heartbeat().step ?? 0) > 2, 15_000);
    const { seconds } = await machine.stop("--grace", "10");
    expect(seconds).toBeLessThan(6);
    const stopped = Number(/stopped at (\d+)/.exec(machine.output())?.[1]);
    expect(stepOf((await readHead(store)).head?.checkpoint)).toBe(stopped);
    expect((await readLease(store))?.record).toMatchObject({ released: true });
    expect((await readRunRecord(store))?.status).toBe("running");
  });
});

test("a run that ends well is closed in the store with its last checkpoint and output, and not started again", async () => {
  const machine = await python({ params: { steps: 12 } });
  writeFileSync(machine.workspace.files.born, String(Math.floor(Date.now() / 1000) - 3600));
  await start(machine);
  await machine.until(() => machine.heartbeat().state === "done", 20_000);
  const record = await readRunRecord(store);
  expect(record).toMatchObject({ status: "done", finalStep: 12, generation: 0, codeHash: "c1", paramsHash: "p1" });
  expect(record?.spentUsd).toBeCloseTo(0.36, 1);
  expect(stepOf((await readHead(store)).head?.checkpoint)).toBe(10);
  expect((await store.get("logs/output.e00001.log"))?.body.toString()).toContain("done at 12");
  await machine.stop();

  const again = await python({ params: { steps: 12 } });
  await start(again);
  await again.until(() => again.heartbeat().state === "done", 15_000);
  expect(again.output()).not.toContain("begins at");
  expect(again.output()).toContain("it is done at step 12");
});

test("other parameters start the run anew: old checkpoints are neither loaded nor lost", async () => {
  const machine = await python();
  await start(machine);
  await untilUploaded(10);
  await machine.stop("--grace", "10");
  const before = await readLineage(store);
  machine.setRun({
    command: ["python3", "train.py"],
    params: { steps: 500 },
    codeHash: "c1",
    paramsHash: "p2",
    contractId: 1,
  });
  await start(machine);
  await machine.until(() => machine.output().match(/begins at/g)?.length === 2, 15_000);
  expect(machine.output()).toMatch(/begins at 0\n[\s\S]*begins at 0\n/);
  expect(readdirSync(join(machine.root, "persistent", "checkpoints.outside-e00002")).length).toBeGreaterThan(0);
  await untilUploaded(5);
  const now = await readLineage(store);
  expect(now.filter((id) => before.includes(id))).toEqual([]);
  for (const id of before) expect(await store.get(`checkpoints/${id}/manifest.json`)).toBeDefined();
  expect(await readRunRecord(store)).toMatchObject({ generation: 1, status: "running", params: { steps: 500 } });
});

test("changed code is refused where the configuration says so, and the run is left as it is", async () => {
  const machine = await python();
  await start(machine);
  await untilUploaded(5);
  await machine.stop("--grace", "10");
  const other = await python({ codeHash: "c2", onCodeChange: "refuse" });
  await start(other);
  await other.until(() => other.heartbeat().state === "failed", 15_000);
  expect(other.heartbeat().warning).toContain("the code has changed and onCodeChange is refuse");
  expect(other.output()).not.toContain("begins at");
  expect((await readLease(store))?.record).toMatchObject({ released: true });
  expect((await readRunRecord(store))?.codeHash).toBe("c1");
});

test("a machine that the market starts again goes on from its own disk, which may be newer than the store", async () => {
  const machine = await python();
  await start(machine);
  await untilUploaded(5);
  preempt(machine);
  // The last one had no time to be uploaded.
  const dir = machine.workspace.checkpoints;
  mkdirSync(join(dir, "step-95"));
  writeFileSync(join(dir, "step-95", "state.json"), '{"step": 95}');
  await start(machine);
  await machine.until(() => machine.output().includes("begins at 95"), 15_000);
  await untilUploaded(95);
  expect((await readLease(store))?.record).toMatchObject({ epoch: 2 });
});

test("a machine that comes back after another one has taken the run over loads nothing of its own", async () => {
  const first = await python({}, 1);
  await start(first);
  await untilUploaded(5);
  preempt(first);
  const dir = first.workspace.checkpoints;
  mkdirSync(join(dir, "step-900"));
  writeFileSync(join(dir, "step-900", "state.json"), '{"step": 900}');
  const second = await python({}, 2);
  await start(second);
  await second.until(() => second.output().includes("begins at"), 15_000);
  await second.stop("--grace", "10");
  const stopped = /stopped at (\d+)/.exec(second.output())?.[1];
  await start(first);
  await first.until(() => first.output().match(/begins at/g)?.length === 2, 15_000);
  expect(first.output()).toContain(`begins at ${stopped}\n`);
  expect(first.output()).not.toContain("begins at 900");
  expect(existsSync(join(first.root, "persistent", "checkpoints.outside-e00003", "step-900"))).toBe(true);
});

test("a command whose agent alone was killed saves its step for the next agent, unless the run is elsewhere by then", async () => {
  const first = await python({}, 1);
  await start(first);
  await untilUploaded(5);
  process.kill(first.agentPid(), "SIGKILL");
  await start(first);
  await first.until(() => first.output().match(/begins at/g)?.length === 2, 15_000);
  const saved = Number(/stopped at (\d+)/.exec(first.output())?.[1]);
  expect(first.output()).toContain(`begins at ${saved}\n`);
  await untilUploaded(saved);

  process.kill(first.agentPid(), "SIGKILL");
  const second = await python({}, 2);
  await start(second);
  await second.until(() => second.output().includes("begins at"), 20_000);
  const from = stepOf((await readHead(store)).head?.checkpoint);
  await start(first);
  await first.until(() => first.heartbeat().warning?.includes("holds the run"), 15_000);
  const late = Number(
    first
      .output()
      .match(/(?<=stopped at )\d+/g)
      ?.at(-1),
  );
  expect(late).toBeGreaterThan(saved);
  expect(findSupervised(first.root)).toEqual([]);
  await second.stop("--grace", "10");
  await first.until(() => first.output().match(/begins at/g)?.length === 3, 15_000);
  const given = Number(/stopped at (\d+)/.exec(second.output())?.[1]);
  expect(given).toBeGreaterThan(from);
  expect(first.output()).toContain(`begins at ${given}\n`);
});

test("whenever its machines are killed, here and there, a run loses no checkpoint that was acknowledged", async () => {
  let machine = await python({ params: { steps: 250 } });
  let acknowledged = 0;
  for (let round = 0; round < 4; round += 1) {
    const before = machine.output().match(/begins at/g)?.length ?? 0;
    await start(machine);
    await machine.until(() => (machine.output().match(/begins at/g)?.length ?? 0) > before, 20_000);
    const begun = Number(
      machine
        .output()
        .match(/begins at \d+/g)
        ?.at(-1)
        ?.slice("begins at ".length),
    );
    expect(begun).toBeGreaterThanOrEqual(acknowledged);
    await untilUploaded(acknowledged + 1);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 700));
    preempt(machine);
    acknowledged = stepOf((await readHead(store)).head?.checkpoint);
    if (round % 2 === 0) machine = await python({ params: { steps: 250 } });
  }
  await start(machine);
  await machine.until(() => machine.heartbeat().state === "done", 40_000);
  expect(machine.output()).toContain("done at 250");
  expect(await readRunRecord(store)).toMatchObject({ status: "done", finalStep: 250 });
  expect(acknowledged).toBeGreaterThan(0);
});

test("of two agents for one run one trains, and the other says why it does not", async () => {
  const first = await python({}, 1);
  await start(first);
  await first.until(() => first.output().includes("begins at"), 15_000);
  const second = await python({}, 2);
  await start(second);
  await second.until(() => second.heartbeat().warning?.includes("holds the run"), 15_000);
  expect(second.heartbeat().state).toBe("claiming");
  expect(second.output()).toMatch(/this machine waits: \S+ \(contract 1\), process \d+ holds the run since \S+Z/);
  expect(findCommands(second.root)).toEqual([]);
  await first.stop("--grace", "10"); // given back, so it goes on at once
  await second.until(() => second.output().includes("begins at"), 5_000);
  const stopped = /stopped at (\d+)/.exec(first.output())?.[1];
  expect(second.output()).toContain(`begins at ${stopped}\n`);
});

test("an agent that was frozen past its lease exits within 2 s, and what it wrote then is never used", async () => {
  const first = await python({}, 1);
  await start(first);
  await untilUploaded(10);
  const pids = [first.agentPid(), ...findSupervised(first.root)];
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  const second = await python({}, 2);
  await start(second);
  await second.until(() => second.output().includes("begins at"), 20_000);
  const before = (await readHead(store)).head;
  // A checkpoint that it had just finished when it was frozen.
  mkdirSync(join(first.workspace.checkpoints, "step-990"));
  writeFileSync(join(first.workspace.checkpoints, "step-990", "state.json"), '{"step": 990}');
  const agent = first.agentPid();
  const continued = Date.now();
  for (const pid of pids) process.kill(pid, "SIGCONT");
  await first.until(() => !isRunning(agent), 5_000);
  expect(Date.now() - continued).toBeLessThan(2_000);
  expect(findSupervised(first.root)).toEqual([]);
  expect(first.heartbeat()).toMatchObject({ state: "lost", warning: expect.stringContaining("taken this run over") });
  expect(first.output()).toContain("VL_LEASE_LOST");
  const after = (await readHead(store)).head;
  expect(after?.epoch).toBe(before?.epoch);
  const lineage = await readLineage(store);
  expect(lineage.some((id) => stepOf(id) === 990)).toBe(false);
  // Started again, as the machine's watchdog does, it waits.
  await start(first);
  await first.until(
    () => first.heartbeat().state === "claiming" && first.heartbeat().warning?.includes("holds the run"),
  );
});

test("training goes on while the store is away, and uploads catch up when it is back", async () => {
  const tunnel = await openTunnel(Number(new URL(s3.endpoint).port));
  const machine = await python();
  writeFileSync(
    machine.workspace.files.store,
    JSON.stringify({ ...s3, endpoint: tunnel.url, bucket: BUCKET, prefix: `test/run${count}`, pathStyle: true }),
  );
  await start(machine);
  await untilUploaded(5);
  tunnel.cut();
  const step = machine.heartbeat().step ?? 0;
  await machine.until(() => (machine.heartbeat().step ?? 0) > step + 30, 15_000);
  expect(stepOf((await readHead(store)).head?.checkpoint)).toBeLessThan(step + 10);
  await tunnel.mend();
  await untilUploaded(step + 15);
  expect(machine.heartbeat().state).toBe("running");
  tunnel.cut();
});

test("garbage beside the checkpoints disturbs nothing", async () => {
  const machine = await python();
  const dir = machine.workspace.checkpoints;
  mkdirSync(join(dir, "half.tmp"), { recursive: true });
  mkdirSync(join(dir, "empty"));
  writeFileSync(join(dir, "file"), "x");
  writeFileSync(join(dir, ".hidden"), "x");
  await start(machine);
  await untilUploaded(5);
  expect(existsSync(join(dir, "file"))).toBe(true);
});

test("a dev box's edits are on the next machine, also when the first one is gone without a warning", async () => {
  const box = await rent({ command: null });
  await box.startWith({ VASTLANE_LEASE_TTL_SECONDS: String(TTL_SECONDS), VASTLANE_SNAPSHOT_SECONDS: "0.3" });
  await box.until(() => box.heartbeat().state === "idle", 15_000);
  writeFileSync(join(box.root, "project", "notebook.py"), "print('edited over SSH')");
  await untilStored(async () => (await store.list("snapshots/")).some(({ key }) => key.endsWith(".json")));
  preempt(box);
  const next = await rent({ command: null });
  await start(next);
  const file = join(next.root, "project", "notebook.py");
  await next.until(
    () => /brought back, as changed on the machine before \(\S+Z\): notebook.py/.test(next.output()),
    20_000,
  );
  expect(readFileSync(file, "utf8")).toBe("print('edited over SSH')");
});

test("the command and shells see no key of the store", async () => {
  const machine = await rent({ command: ["sh", "-c", "env > env.txt; sleep 30"] });
  await start(machine);
  const file = join(machine.root, "project", "env.txt");
  await machine.until(() => existsSync(file) && readFileSync(file, "utf8").includes("VASTLANE_RUN_ID"), 15_000);
  expect(readFileSync(file, "utf8")).not.toContain(s3.secretAccessKey);
  expect(machine.output() + machine.agentLog()).not.toContain(s3.secretAccessKey);
});

test("a store that refuses the keys is said, and waited for", async () => {
  const machine = await rent({ command: ["true"] });
  writeFileSync(
    machine.workspace.files.store,
    JSON.stringify({ ...s3, secretAccessKey: "wrong", bucket: BUCKET, prefix: "x", pathStyle: true }),
  );
  await start(machine);
  await machine.until(() => machine.heartbeat().warning?.includes("VL_STORE_DENIED"), 15_000);
  expect(machine.heartbeat().state).toBe("claiming");
  expect(machine.output()).toContain("waiting, as the run's store cannot be used: VL_STORE_DENIED");
});

function isRunning(pid: number): boolean {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
