import { afterEach, beforeEach, expect, test } from "vitest";
import { type ServedMarket, serveTestMarket } from "../../helpers/market.ts";

let market: ServedMarket;
beforeEach(async () => {
  market = await serveTestMarket();
});
afterEach(() => market.close());

interface Offer {
  id: number;
  min_bid: number;
  machine_id: number;
  bundle_id: number;
}

async function cheapest(more: Record<string, unknown> = {}, key?: string): Promise<Offer> {
  const { json } = await market.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]], ...more }, key);
  return json.offers[0];
}

/** An interruptible contract at `factor` of the lowest winning bid. */
async function bid(factor = 1.1): Promise<{ id: number; offer: Offer; price: number }> {
  const offer = await cheapest({ type: "bid" });
  const price = offer.min_bid * factor;
  const { json } = await market.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u", price });
  await market.follow();
  return { id: json.new_contract, offer, price };
}

const show = async (id: number) => (await market.call("GET", `/api/v0/instances/${id}/`)).json.instances;
const admin = async (path: string, body: unknown) => {
  const answer = await market.call("POST", `/_emulator/${path}`, body);
  await market.follow();
  return answer;
};

const PARKED = {
  intended_status: "stopped",
  cur_state: "stopped",
  next_state: "stopped",
  actual_status: "exited",
  is_bid: true,
};

test("outbids a contract, shows the new floor, and resumes it when the bid is raised", async () => {
  const { id, price } = await bid();
  expect(await show(id)).toMatchObject({ actual_status: "running", is_bid: true });
  expect((await admin("outbid", { id })).json).toMatchObject({ success: true, phase: "outbid" });
  const parked = await show(id);
  expect(parked).toMatchObject(PARKED);
  expect(parked.min_bid).toBeGreaterThan(price);
  expect(market.machines.isRunning(id)).toBe(false);
  await market.call("PUT", `/api/v0/instances/bid_price/${id}/`, { client_id: "me", price: parked.min_bid });
  await market.follow();
  expect((await show(id)).actual_status).toBe("running");
  expect(market.journal("outbid", "bid", "resume").map((line) => line.kind)).toEqual(["outbid", "bid", "resume"]);
});

test("resumes an outbid contract by itself when the rival has gone", async () => {
  const { id } = await bid();
  await admin("outbid", { id, price: 3, seconds: 300 });
  expect(await show(id)).toMatchObject({ ...PARKED, min_bid: 3 });
  await market.pass(400);
  expect((await show(id)).actual_status).toBe("running");
  await admin("outbid", { id, price: 3 });
  await admin("outbid", { id, price: 0 });
  expect((await show(id)).actual_status).toBe("running");
});

test("displaces a contract for a renter on demand, whatever it bids, until he leaves", async () => {
  const { id } = await bid();
  await admin("preempt", { id });
  expect(await show(id)).toMatchObject(PARKED);
  await market.call("PUT", `/api/v0/instances/bid_price/${id}/`, { price: 30 });
  await market.follow();
  expect(await show(id)).toMatchObject(PARKED);
  const start = await market.call("PUT", `/api/v0/instances/${id}/`, { state: "running" });
  expect(start.json.error).toBe("resources_unavailable");
  await admin("preempt", { id, release: true });
  expect((await show(id)).actual_status).toBe("running");
});

test("leaves contracts on demand alone", async () => {
  const offer = await cheapest();
  const { json } = await market.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u" });
  for (const path of ["preempt", "outbid"]) {
    const answer = await admin(path, { id: json.new_contract });
    expect(answer).toMatchObject({ status: 400, json: { msg: expect.stringContaining("on demand") } });
  }
});

test("lets another account rent a bidder's GPUs on demand, or by a higher bid, and not its own", async () => {
  const { id, offer } = await bid();
  const { json: other } = await market.call("POST", "/_emulator/account", { name: "other" });
  const where = { machine_id: { eq: offer.machine_id }, bundle_id: { eq: offer.bundle_id } };
  expect(await cheapest(where)).toBeUndefined();
  const seen = await cheapest({ ...where, type: "bid" }, other.apiKey);
  expect(seen.id).not.toBe(offer.id);
  expect(seen.min_bid).toBeGreaterThan((await show(id)).dph_base);
  const { json: rival } = await market.call(
    "PUT",
    `/api/v0/asks/${seen.id}/`,
    { image: "u", price: seen.min_bid },
    other.apiKey,
  );
  await market.follow();
  expect(await show(id)).toMatchObject(PARKED);
  expect(market.journal("outbid").length).toBe(1);
  await market.call("DELETE", `/api/v0/instances/${rival.new_contract}/`, {}, other.apiKey);
  await market.follow();
  expect((await show(id)).actual_status).toBe("running");
  const again = await cheapest(where, other.apiKey);
  await market.call("PUT", `/api/v0/asks/${again.id}/`, { image: "u" }, other.apiKey);
  await market.follow();
  expect(await show(id)).toMatchObject(PARKED);
  expect(market.journal("preempt").length).toBe(1);
});

test("stops everything at an empty account, refuses new rents, and goes on when credit comes", async () => {
  const offer = await cheapest();
  const { json } = await market.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u" });
  await market.follow();
  await admin("credit", { usd: 0.01 });
  await market.pass(3600);
  expect(await show(json.new_contract)).toMatchObject({ intended_status: "stopped", actual_status: "exited" });
  expect(market.machines.isRunning(json.new_contract)).toBe(false);
  const next = await market.call("PUT", `/api/v0/asks/${(await cheapest()).id}/`, { image: "u" });
  expect(next).toMatchObject({ status: 400, json: { error: "insufficient_credit" } });
  expect((await market.call("PUT", `/api/v0/instances/${json.new_contract}/`, { state: "running" })).json.error).toBe(
    "insufficient_credit",
  );
  await admin("credit", { usd: 5 });
  expect((await market.call("PUT", `/api/v0/instances/${json.new_contract}/`, { state: "running" })).json).toEqual({
    success: true,
  });
  await market.follow();
  expect((await show(json.new_contract)).actual_status).toBe("running");
});

test("shows a machine whose first process ended, and starts it again on request", async () => {
  const offer = await cheapest();
  const { json } = await market.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u" });
  await market.follow();
  market.machines.exit(json.new_contract);
  expect(await show(json.new_contract)).toMatchObject({
    actual_status: "exited",
    intended_status: "running",
    cur_state: "running",
  });
  await market.call("PUT", `/api/v0/instances/${json.new_contract}/`, { state: "running" });
  await market.follow();
  expect((await show(json.new_contract)).actual_status).toBe("running");
});

test("keeps the disk over a reboot and makes a new one for a recycle", async () => {
  const offer = await cheapest();
  const { json } = await market.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u" });
  const id = json.new_contract;
  await market.follow();
  for (const action of ["reboot", "recycle"]) {
    expect((await market.call("PUT", `/api/v0/instances/${action}/${id}/`, {})).json).toEqual({ success: true });
    await market.follow();
    expect((await show(id)).actual_status).toBe("running");
  }
  const updated = await market.call("PUT", `/api/v0/instances/update_template/${id}/`, {
    id,
    image: "debian:12",
    env: { X: "1" },
  });
  expect(updated.json).toMatchObject({
    success: true,
    updated_instance: { image_uuid: "debian:12", extra_env: [["X", "1"]] },
  });
  await market.follow();
  expect(market.machines.started.get(id)?.env.X).toBe("1");
});

test("runs a market's time faster and puts it forward", async () => {
  const before = (await market.call("GET", "/_emulator/status")).json.time;
  await admin("clock", { advanceSeconds: 5000 });
  await admin("clock", { speed: 60 });
  market.clock.move(10);
  const after = (await market.call("GET", "/_emulator/status")).json;
  expect(after.time - before).toBeCloseTo(5600, 0);
  expect(after.speed).toBe(60);
});

test("takes the documented seconds between calls when limits are on, in plain text", async () => {
  const strict = await serveTestMarket({ rateLimits: true });
  try {
    const list = () => strict.call("GET", "/api/v1/instances/");
    expect((await list()).status).toBe(200);
    expect(await list()).toMatchObject({ status: 429, text: "API requests too frequent: endpoint threshold=1.0" });
    strict.clock.move(1);
    expect((await list()).status).toBe(200);
    const { json } = await strict.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]] });
    const [a, b] = json.offers;
    const create = (offer: Offer) => strict.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u" });
    expect((await create(a)).status).toBe(200);
    expect(await create(b)).toMatchObject({ status: 429, text: "API requests too frequent: endpoint threshold=4.5" });
    strict.clock.move(4.4);
    expect((await create(b)).status).toBe(429);
    strict.clock.move(0.1);
    expect((await create(b)).status).toBe(200);
    expect((await strict.call("POST", "/api/v0/bundles/", {})).status).toBe(200);
  } finally {
    await strict.close();
  }
});
