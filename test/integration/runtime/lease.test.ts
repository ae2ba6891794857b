/**
 * The lease over real HTTP, between real processes: what a store in memory cannot show are its conditions under a
 * race, its clock in its answers, and a process that is really frozen.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../common/clock.ts";
import {
  acquireLease,
  changeRunRecord,
  describeWaiting,
  type LeaseOptions,
  moveHead,
  readHead,
  readLease,
  readLineage,
  readRunRecord,
  type Waiting,
} from "../../../runtime/lease/index.ts";
import { type OpenStore, openStore, type StoreAccess } from "../../../runtime/store/index.ts";
import { holder, putManifest } from "../../helpers/lease.ts";
import { makeBucket, startEmulatedS3, startVersitygw, type TestS3, versitygw } from "../../helpers/s3.ts";
import { startStubS3 } from "../../helpers/stub-s3.ts";

const BUCKET = "runs";
const TTL_SECONDS = 3;
const program = await versitygw();
const starts: [name: string, start: () => Promise<TestS3>, skip: string | undefined][] = [
  ["the emulated store", startEmulatedS3, undefined],
  ["versitygw", startVersitygw as () => Promise<TestS3>, "skip" in program ? program.skip : undefined],
];
let access: StoreAccess;
let store: OpenStore;
let runs = 0;
const children: ChildProcess[] = [];

function options(id: string, more: Partial<LeaseOptions> = {}): LeaseOptions & { lines: string[] } {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const times = { ttlSeconds: TTL_SECONDS, renewMs: 1_000, pollMs: 100 };
  return { store, clock: systemClock, runId: "test/run", holder: holder(id), log, ...times, lines, ...more };
}

/** A process that holds the run and publishes all the time. */
function startHolder(id: string) {
  const script = new URL("../../helpers/lease-holder.ts", import.meta.url).pathname;
  const settings = JSON.stringify({ access, id, ttlSeconds: TTL_SECONDS, renewMs: 1_000 });
  const child = spawn(process.execPath, [script, settings], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const said: Record<string, unknown>[] = [];
  let rest = "";
  child.stdout.on("data", (chunk) => {
    const lines = `${rest}${chunk}`.split("\n");
    rest = lines.pop() ?? "";
    said.push(...lines.map((line) => JSON.parse(line)));
  });
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  const last = (name: string) => said.findLast((line) => name in line)?.[name];
  return { child, said, ended, last };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(20);
}

for (const [name, start, skip] of starts) {
  describe.skipIf(skip !== undefined)(skip ? `${name} (${skip})` : name, () => suite(start));
}

function suite(start: () => Promise<TestS3>): void {
  let s3: TestS3;
  beforeAll(async () => {
    s3 = await start();
    await makeBucket(s3, BUCKET);
  });
  afterAll(() => s3?.stop());
  beforeEach(() => {
    runs += 1;
    const { endpoint, region, accessKeyId, secretAccessKey } = s3;
    access = { endpoint, region, accessKeyId, secretAccessKey, bucket: BUCKET, prefix: `lease/run${runs}` };
    store = openStore(access);
  });
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    store.close();
  });

  test("two machines: one has the run, the other says why it waits, and gets it when it is given back", async () => {
    const first = await acquireLease(options("a"));
    let seen: Waiting | undefined;
    const onWaiting = (waiting: Waiting) => {
      seen = waiting;
    };
    const next = acquireLease(options("b", { onWaiting }));
    await until(() => seen !== undefined);
    expect(describeWaiting(seen as Waiting)).toMatch(
      /^host-a, process 1 holds the run since 20\S+Z and was last heard of [01] s ago$/,
    );
    await wait(2_500); // it is renewed meanwhile
    expect(seen?.ageSeconds).toBeLessThanOrEqual(2);
    await first.release();
    const second = await next;
    expect(second.epoch).toBe(2);
    await second.release();
  });

  test("a machine that is frozen past its lease and goes on moves nothing, and knows within two seconds", async () => {
    const old = startHolder("old");
    await until(() => old.said.filter((line) => "published" in line).length >= 3);
    old.child.kill("SIGSTOP");
    const frozenAt = Date.now();
    const held = await acquireLease(options("new"));
    expect(Date.now() - frozenAt).toBeGreaterThan(TTL_SECONDS * 1000 - 1_000);
    expect(Date.now() - frozenAt).toBeLessThan((TTL_SECONDS + 4) * 1000);
    const accepted = held.parent as string;
    await wait(500);

    old.child.kill("SIGCONT");
    const goesOnAt = Date.now();
    await old.ended;
    expect(Date.now() - goesOnAt).toBeLessThan(2_000);
    expect(old.last("lost")).toMatch(/^epoch 1 was followed by epoch 2 on host-new, process 1$/);

    expect((await readHead(store)).head).toMatchObject({ epoch: 2, checkpoint: accepted });
    const published = old.said.flatMap((line) => (typeof line.published === "string" ? [line.published] : []));
    expect((await readLineage(store)).every((id) => id === accepted || published.includes(id))).toBe(true);
    await putManifest(store, "step-00000900.e00002", accepted);
    await moveHead(store, held, "step-00000900.e00002");
    expect((await readLineage(store)).slice(0, 2)).toEqual(["step-00000900.e00002", accepted]);
    await held.release();
  });

  test("a machine that is killed loses nothing that it has published", async () => {
    const old = startHolder("old");
    await until(() => old.said.filter((line) => "published" in line).length >= 3);
    old.child.kill("SIGKILL");
    await old.ended;
    const held = await acquireLease(options("new"));
    const published = old.said.flatMap((line) => (typeof line.published === "string" ? [line.published] : []));
    const ids = await readLineage(store);
    expect(ids).toEqual(expect.arrayContaining(published));
    expect(ids[0]).toBe(held.parent);
    await held.release();
  });

  test("of 64 that race, one gets each epoch, and each change of the run record counts once", async () => {
    const ROUNDS = 4;
    const stores = Array.from({ length: 8 }, () => openStore(access));
    const enough = new AbortController();
    const epochs: number[] = [];
    let holders = 0;
    const agents = Array.from({ length: 64 }, async (_, i) => {
      const own = stores[i % stores.length] as OpenStore;
      const more = { store: own, ttlSeconds: 60, pollMs: 300, signal: enough.signal };
      const held = await acquireLease(options(`agent-${i}`, more)).catch((error) => {
        if (!enough.signal.aborted) throw error;
      });
      if (!held) return;
      expect(++holders).toBe(1);
      epochs.push(held.epoch);
      const place = { store: own, clock: systemClock, runId: "test/run" };
      await changeRunRecord(place, held, (record) => ({ spentUsd: (record?.spentUsd ?? 0) + 1 }));
      if (epochs.length === ROUNDS) enough.abort(new Error("enough"));
      holders -= 1;
      await held.release();
    });
    await Promise.all(agents);
    // One after the other; a number is left out where taking it was interrupted.
    expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b));
    expect(epochs.length).toBeGreaterThanOrEqual(ROUNDS);
    expect(await readRunRecord(store)).toMatchObject({ spentUsd: epochs.length, epoch: epochs.at(-1) });
    for (const own of stores) own.close();
  });

  test("the store's clock alone says how old a lease is", async () => {
    const held = await acquireLease(options("a"));
    held.abandon();
    await wait(1_500);
    const lease = await readLease(store);
    expect(lease?.ageSeconds).toBeGreaterThanOrEqual(1);
    expect(lease?.ageSeconds).toBeLessThanOrEqual(3);
  });
}

test("a store without conditional writes is told to people, and the newest epoch wins", async () => {
  const stub = await startStubS3();
  stub.intercept = ({ headers }) => {
    delete headers["if-match"];
    delete headers["if-none-match"];
    return false;
  };
  const keys = { accessKeyId: "a", secretAccessKey: "b", pathStyle: true };
  const weak = openStore({ endpoint: stub.endpoint, region: "us-east-1", bucket: stub.bucket, prefix: "run", ...keys });
  try {
    const mine = options("a", { store: weak });
    const first = await acquireLease(mine);
    expect(first.hasConditions).toBe(false);
    expect(mine.lines).toEqual([
      `s3://${stub.bucket}/run has no conditional writes: two agents are told apart only by the newest epoch`,
    ]);
    await putManifest(weak, "step-00000100.e00001", null);
    await moveHead(weak, first, "step-00000100.e00001");
    await first.release();
    const second = await acquireLease(options("b", { store: weak }));
    expect(second).toMatchObject({ epoch: 2, parent: "step-00000100.e00001" });
    const stale = { format: 1, epoch: 1, holder: "a", checkpoint: "step-00000200.e00001", ancestors: [] };
    await putManifest(weak, "step-00000200.e00001", "step-00000100.e00001");
    await weak.put("latest.json", JSON.stringify(stale));
    expect(await readLineage(weak)).toEqual(["step-00000100.e00001"]);
    await second.release();
  } finally {
    weak.close();
    await stub.close();
  }
});
