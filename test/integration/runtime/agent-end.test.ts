/**
 * How a run comes to its end on a machine that can end itself: what is in the store by the moment the market is asked,
 * and what happens when the store, the disk or the command do not play along.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { readHead, readLease, readRunRecord } from "../../../runtime/lease/index.ts";
import { type OpenStore, openStore } from "../../../runtime/store/index.ts";
import { type AgentMachine, makeAgentMachine } from "../../helpers/agent-machine.ts";
import { makeBucket, startEmulatedS3 } from "../../helpers/s3.ts";
import { canMount, mountSmallDisk } from "../../helpers/small-disk.ts";
import { writeStepper } from "../../helpers/stepper.ts";
import { findSupervised } from "../../helpers/supervised.ts";
import { openTunnel, type Tunnel } from "../../helpers/tunnel.ts";

const BUCKET = "runs";
const KEY = "key-of-this-machine-only";
let s3: Awaited<ReturnType<typeof startEmulatedS3>>;
let store: OpenStore;
let tunnel: Tunnel;
let market: Server;
/** What the market was asked, and how the store stood at that moment. */
let asked: { call: string; body: string; key: string | undefined; status: unknown; step: number; snapshots: number }[];
let count = 0;
let machines: AgentMachine[] = [];

beforeAll(async () => {
  s3 = await startEmulatedS3();
  await makeBucket(s3, BUCKET);
});
afterAll(() => s3?.stop());
beforeEach(async () => {
  count += 1;
  asked = [];
  store = openStore({ ...s3, bucket: BUCKET, prefix: `end/run${count}` });
  tunnel = await openTunnel(Number(new URL(s3.endpoint).port));
  market = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const step = stepOf((await readHead(store)).head?.checkpoint);
    const snapshots = (await store.list("snapshots/")).filter(({ key }) => key.endsWith(".json")).length;
    const status = (await readRunRecord(store))?.status;
    asked.push({
      call: `${request.method} ${request.url}`,
      body,
      key: request.headers.authorization,
      status,
      step,
      snapshots,
    });
    response.end('{"success": true}');
  });
  await new Promise<void>((done) => market.listen(0, "127.0.0.1", done));
});
afterEach(async () => {
  await tunnel.mend().catch(() => {});
  await Promise.all(machines.map((machine) => machine.end()));
  machines = [];
  tunnel.cut();
  market.closeAllConnections();
  market.close();
  store.close();
});

const stepOf = (id: string | null | undefined) => Number(/step-(\d+)/.exec(id ?? "")?.[1] ?? -1);

async function rent(run: object, root?: string): Promise<AgentMachine> {
  const machine = await makeAgentMachine(root);
  if (root === undefined) machines.push(machine);
  const { files } = machine.workspace;
  const access = { ...s3, endpoint: tunnel.url, bucket: BUCKET, prefix: `end/run${count}`, pathStyle: true };
  writeFileSync(files.store, JSON.stringify(access));
  writeFileSync(files.price, "0.36\n");
  const url = `http://127.0.0.1:${(market.address() as AddressInfo).port}`;
  const environ = [`VAST_URL=${url}`, "CONTAINER_ID=7", `CONTAINER_API_KEY=${KEY}`].join("\0");
  writeFileSync(join(machine.workspace.state, "environ"), environ);
  machine.setRun({
    codeHash: "c1",
    paramsHash: "p1",
    contractId: 7,
    command: writeStepper(join(machine.root, "project")),
    params: { steps: 400 },
    onDone: "destroy",
    ...run,
  });
  return machine;
}

const start = (machine: AgentMachine, env: Record<string, string> = {}) =>
  machine.startWith({
    VASTLANE_LEASE_TTL_SECONDS: "3",
    VASTLANE_PID1_ENVIRON: join(machine.workspace.state, "environ"),
    ...env,
  });

test("done: the last checkpoint, the edits and the record are in the store before the machine destroys itself", async () => {
  const machine = await rent({ params: { steps: 20 } });
  writeFileSync(join(machine.root, "project", "edited.py"), "print(1)");
  await start(machine);
  await machine.until(() => asked.length > 0, 30_000);
  expect(asked[0]).toMatchObject({
    call: "DELETE /api/v0/instances/7/",
    key: `Bearer ${KEY}`,
    status: "done",
    step: 20,
    snapshots: 1,
  });
  expect((await readLease(store))?.record).toMatchObject({ released: true, heartbeat: { state: "done" } });
  expect(machine.output()).toContain("this machine destroys itself in 5 s");
  expect(machine.output() + machine.agentLog()).not.toContain(KEY);
});

test("over budget: the command saves, all is uploaded, the run is closed, and the machine ends before the watchdog", async () => {
  const machine = await rent({ maxHours: 20 / 3600 }); // of which a tenth is kept for saving
  const began = Date.now();
  writeFileSync(machine.workspace.files.born, `${Math.floor(began / 1000)}`);
  await start(machine);
  await machine.until(() => asked.length > 0, 40_000);
  expect(asked[0]).toMatchObject({ call: "DELETE /api/v0/instances/7/", status: "over-budget" });
  const last = machine.heartbeat().step ?? 0;
  expect(asked[0]?.step).toBe(last); // saved on SIGTERM, not only every fifth
  expect(await readRunRecord(store)).toMatchObject({
    finalStep: last,
    reason: expect.stringMatching(/time limit of 0\.00\d* hours is over/),
  });
});

test("given up: reason and output are in the store, and the machine goes", async () => {
  const machine = await rent({});
  machine.setRun({
    command: machine.script("echo 'CUDA error: device-side assert triggered'; exit 3"),
    codeHash: "c1",
    paramsHash: "p1",
    maxCrashes: 2,
    onDone: "destroy",
    contractId: 7,
  });
  await start(machine);
  await machine.until(() => asked.length > 0, 30_000);
  expect(asked[0]).toMatchObject({ call: "DELETE /api/v0/instances/7/", status: "failed" });
  expect((await readRunRecord(store))?.reason).toMatch(/exit code 3; given up after 2 crashes/);
  expect((await store.get("logs/output.e00001.log"))?.body.toString()).toContain("device-side assert");
});

test("what another machine would meet again keeps this one, so that none is rented in vain", async () => {
  await store.put("latest.json", JSON.stringify({ format: 2, epoch: 3 }));
  const machine = await rent({});
  await start(machine);
  await machine.until(() => machine.heartbeat().state === "failed", 15_000);
  expect(machine.heartbeat().warning).toContain("newer");
  expect(machine.output()).not.toContain("begins");
  await new Promise((resolve) => setTimeout(resolve, 6_000)); // longer than a machine lingers that ends itself
  expect(asked).toEqual([]);
});

test("a run that has ended while the store is away keeps its machine, and ends it when all is saved", async () => {
  const machine = await rent({ params: { steps: 12 } });
  await start(machine);
  await machine.until(() => (machine.heartbeat().step ?? 0) >= 3, 15_000);
  tunnel.cut();
  await machine.until(() => machine.output().includes("done at 12"), 15_000);
  await machine.until(() => machine.heartbeat().warning?.includes("VL_STORE_DOWN"), 60_000); // longer than it would linger
  expect(asked).toEqual([]);
  expect(machine.heartbeat().state).toBe("running");
  await tunnel.mend();
  await machine.until(() => asked.length > 0, 60_000);
  expect(asked[0]).toMatchObject({ status: "done", step: 10 });
});

test("a store that takes everything and answers nothing does not hold up a stop", async () => {
  const machine = await rent({});
  await start(machine);
  await machine.until(() => machine.heartbeat().stored, 15_000);
  tunnel.stall();
  const { seconds, stdout, stderr } = await machine.stop("--grace", "4");
  expect(stderr).toBe("");
  expect(stdout).toContain("agent stopped");
  expect(seconds).toBeLessThan(4 + 8);
  expect(machine.heartbeat().state).toBe("stopped");
  expect(findSupervised(machine.root)).toEqual([]);
});

test("a command that ignores SIGTERM is killed within the grace, and its last checkpoint is still uploaded", async () => {
  const machine = await rent({});
  const dir = machine.workspace.checkpoints;
  const text = `trap '' TERM; mkdir -p ${dir}/.tmp; echo 1 >${dir}/.tmp/a; mv ${dir}/.tmp ${dir}/step-77
    echo up; while :; do sleep 1; done`;
  machine.setRun({ command: machine.script(text), codeHash: "c1", paramsHash: "p1", contractId: 7 });
  await start(machine);
  await machine.until(() => machine.output().includes("up"), 15_000);
  const { seconds, stderr } = await machine.stop("--grace", "4");
  expect(stderr).toBe("");
  expect(seconds).toBeLessThan(8);
  expect(stepOf((await readHead(store)).head?.checkpoint)).toBe(77);
  expect((await readLease(store))?.record?.released).toBe(true);
});

test("what left the command's process group ends with it when another agent takes the run over", async () => {
  const machine = await rent({});
  machine.setRun({
    command: machine.script("setsid sleep 300 & echo up; sleep 300"),
    codeHash: "c1",
    paramsHash: "p1",
    contractId: 7,
  });
  await start(machine);
  await machine.until(() => machine.output().includes("up"), 15_000);
  const agent = machine.agentPid();
  process.kill(agent, "SIGSTOP"); // the command goes on meanwhile
  const other = await rent({ contractId: 8 });
  await start(other);
  await other.until(() => other.output().includes("begins"), 20_000);
  process.kill(agent, "SIGCONT");
  await machine.until(() => machine.heartbeat().state === "lost", 2_000);
  await machine.until(() => findSupervised(machine.root).length === 0, 1_000);
  expect(asked).toEqual([]);
});

test("a command that writes garbage for metrics and output disturbs nothing", async () => {
  const machine = await rent({});
  const text = `mkdir -p "$VASTLANE_LOG_DIR"; head -c 3000000 /dev/urandom | tee "$VASTLANE_LOG_DIR/metrics.jsonl"
    echo '{"step": 5, "loss": 0.5}' >>"$VASTLANE_LOG_DIR/metrics.jsonl"; echo; echo end; sleep 2`;
  machine.setRun({ command: machine.script(text), codeHash: "c1", paramsHash: "p1", contractId: 7 });
  await start(machine);
  await machine.until(() => machine.heartbeat().state === "done", 30_000);
  expect(await readRunRecord(store)).toMatchObject({ status: "done" });
  await machine.until(() => asked.length > 0, 15_000);
  expect((await readLease(store))?.record?.heartbeat?.state).toBe("done");
});

test("parameters that no environment can hold are a failure with words, not an agent that hangs", async () => {
  const machine = await rent({ params: { steps: 1, text: "x".repeat(200_000) }, maxCrashes: 1 });
  await start(machine);
  await machine.until(() => machine.heartbeat().state === "failed", 15_000);
  expect(machine.heartbeat().warning).toContain("cannot start node: spawn E2BIG");
});

test.skipIf(!canMount)("a disk that is full while checkpoints are brought back is waited for", async () => {
  const first = await rent({});
  const dir = first.workspace.checkpoints;
  const text = `mkdir -p ${dir}/.tmp; head -c 6000000 /dev/urandom >${dir}/.tmp/w; mv ${dir}/.tmp ${dir}/step-5; sleep 300`;
  first.setRun({ command: first.script(text), codeHash: "c1", paramsHash: "p1", contractId: 7 });
  await start(first);
  await first.until(() => first.heartbeat().stored, 15_000);
  await first.stop("--grace", "5");

  const second = await rent({}, mountSmallDisk(12));
  onTestFinished(async () => void (await second.stop("--grace", "0")));
  const ballast = join(second.root, "data");
  writeFileSync(ballast, Buffer.alloc(8 << 20));
  const command = second.script('echo "from $VASTLANE_RESUME_FROM"; sleep 300');
  second.setRun({ command, codeHash: "c1", paramsHash: "p1", contractId: 8 });
  await start(second);
  await second.until(() => /disk|ENOSPC/.test(second.heartbeat().warning ?? ""), 20_000);
  expect(second.heartbeat().state).toBe("claiming");
  expect(second.output()).toMatch(/waiting, as this machine cannot be used: (VL_DISK_FULL|ENOSPC)/);
  expect((await readLease(store))?.record).toMatchObject({ epoch: 2, released: false });
  rmSync(ballast);
  await second.until(() => second.output().includes("step-5"), 30_000);
  expect((await readLease(store))?.record).toMatchObject({ epoch: 2 });
  expect(existsSync(join(second.workspace.checkpoints, "step-5", "w"))).toBe(true);
  expect(readFileSync(join(second.workspace.checkpoints, "step-5", "w")).length).toBe(6_000_000);
});
