// Real daemons: what a SIGKILL leaves cannot be seen from inside the process that it ends.
import { expect, test } from "vitest";
import { offerIds, rentOne, show, startTestEmulator, type TestEmulator, until } from "../../helpers/emulator.ts";

/** Contracts that the journal says exist. */
function aliveByJournal(emulator: TestEmulator): number[] {
  const alive = new Set<number>();
  for (const line of emulator.journalOnDisk()) {
    if (line.kind === "rent" && line.contractId !== undefined) alive.add(line.contractId);
    if (line.kind === "destroy" && line.contractId !== undefined) alive.delete(line.contractId);
  }
  return [...alive].sort();
}

/** Contracts that the market itself says exist; there are more than a page of them. */
async function aliveByMarket(emulator: TestEmulator): Promise<number[]> {
  const contracts = await emulator.admin.contracts();
  return contracts
    .filter((one) => one.destroyedAt === null)
    .map((one) => one.id)
    .sort();
}

test("goes on after SIGKILL with the same address, key, account, contracts and offers", async () => {
  const emulator = await startTestEmulator();
  const id = await rentOne(emulator, { label: "kept" });
  const before = { info: emulator.info, status: await emulator.admin.status(), offers: await offerIds(emulator) };
  await emulator.kill();
  await emulator.start();
  expect({ ...emulator.info, pid: 0 }).toEqual({ ...before.info, pid: 0 });
  const after = await emulator.admin.status();
  expect(after).toMatchObject({
    seed: before.status.seed,
    accountId: before.status.accountId,
    contracts: 1,
    birth: before.status.birth,
  });
  expect(after.time).toBeGreaterThanOrEqual(before.status.time);
  expect(await offerIds(emulator)).toEqual(before.offers);
  await until(async () => (await show(emulator, id)).actual_status === "running");
  expect(await show(emulator, id)).toMatchObject({ id, label: "kept" });
  expect((await emulator.call("DELETE", `/api/v0/instances/${id}/`, {})).json).toEqual({ success: true });
  expect(await emulator.admin.status()).toMatchObject({ contracts: 0, billingPerHour: 0 });
});

test("never tells of a rent or a destroy that a SIGKILL could undo", async () => {
  const emulator = await startTestEmulator();
  for (let round = 0; round < 12; round += 1) {
    const offers = await offerIds(emulator);
    const told = { rented: [] as number[], destroyed: [] as number[] };
    const running = await aliveByMarket(emulator);
    // Settled from the start, as the kill below ends most of them.
    const calls = Promise.allSettled([
      ...offers.slice(0, 12).map(async (offer) => {
        const { json } = await emulator.call("PUT", `/api/v0/asks/${offer}/`, { image: "u", label: `r${round}` });
        if (json?.new_contract) told.rented.push(json.new_contract);
      }),
      ...running.slice(0, 6).map(async (id) => {
        const { json } = await emulator.call("DELETE", `/api/v0/instances/${id}/`, {});
        if (json?.success) told.destroyed.push(id);
      }),
    ]);
    // A seeded moment within the first milliseconds of the calls.
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 23));
    await emulator.kill();
    await calls;
    await emulator.start();
    const alive = await aliveByMarket(emulator);
    for (const id of told.rented) expect(alive).toContain(id);
    for (const id of told.destroyed) expect(alive).not.toContain(id);
    expect(aliveByJournal(emulator)).toEqual(alive);
    const seqs = emulator.journalOnDisk().map((line) => line.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  }
});

test("charges the time in which only the daemon was dead", async () => {
  const emulator = await startTestEmulator();
  const id = await rentOne(emulator);
  await emulator.admin.clock({ advanceSeconds: 3600 });
  const cost = async () => (await emulator.admin.contracts()).find((one) => one.id === id)?.costUsd ?? 0;
  const before = await cost();
  await emulator.kill();
  await emulator.start();
  expect(await cost()).toBeGreaterThanOrEqual(before);
});

test("charges nothing for the time between a stop and the next start", async () => {
  const emulator = await startTestEmulator({ speed: 1 });
  const id = await rentOne(emulator);
  await emulator.admin.clock({ advanceSeconds: 7200 });
  await emulator.admin.stop();
  await until(async () => !(await isAnswering(emulator)));
  await emulator.start();
  const [contract] = await emulator.admin.contracts();
  const perHour = (await show(emulator, id)).dph_total;
  expect(contract?.costUsd).toBeCloseTo(perHour * 2, 2);
});

test("keeps faults and a moved clock over SIGKILL", async () => {
  const emulator = await startTestEmulator();
  await emulator.admin.fault("offer-taken", { count: 3 });
  const time = await emulator.admin.clock({ advanceSeconds: 86_400 });
  await emulator.kill();
  await emulator.start();
  expect(await emulator.admin.faults()).toMatchObject([{ kind: "offer-taken", count: 3 }]);
  expect((await emulator.admin.status()).time).toBeGreaterThanOrEqual(time);
});

async function isAnswering(emulator: TestEmulator): Promise<boolean> {
  return emulator.admin.status().then(
    () => true,
    () => false,
  );
}
