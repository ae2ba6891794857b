import { afterEach, beforeEach, expect, test } from "vitest";
import { FAULT_KINDS } from "../../../emulator/index.ts";
import { type Answer, type ServedMarket, serveTestMarket } from "../../helpers/market.ts";

let market: ServedMarket;
beforeEach(async () => {
  market = await serveTestMarket();
});
afterEach(() => market.close());

const fault = async (kind: string, params: Record<string, unknown> = {}) => {
  const answer = await market.call("POST", "/_emulator/fault", { kind, ...params });
  expect(answer.status, answer.text).toBe(200);
};

async function offers(more: Record<string, unknown> = {}): Promise<{ id: number; min_bid: number }[]> {
  return (await market.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]], ...more })).json.offers;
}

async function create(body: Record<string, unknown> = {}): Promise<Answer> {
  const [offer] = await offers();
  const answer = await market.call("PUT", `/api/v0/asks/${offer?.id}/`, { image: "u", cancel_unavail: true, ...body });
  await market.follow();
  return answer;
}

const list = async () => (await market.call("GET", "/api/v1/instances/")).json.instances;
const show = async (id: number) => (await market.call("GET", `/api/v0/instances/${id}/`)).json.instances;

test.each([
  [{}, 410],
  [{ status: 404 }, 404],
  [{ status: 400 }, 400],
])("offer-taken %j: the offer is gone, for everybody", async (params, status) => {
  await fault("offer-taken", params);
  const before = await offers();
  const answer = await create();
  expect(answer.status).toBe(status);
  expect(answer.text).toContain("no_such_ask");
  expect(await list()).toEqual([]);
  expect((await offers()).map((one) => one.id)).not.toContain(before[0]?.id);
  expect((await create()).status).toBe(200);
});

test("reply-lost: the rent happened and nobody said so", async () => {
  await fault("reply-lost");
  await expect(create({ label: "lost" })).rejects.toThrow();
  expect(await list()).toMatchObject([{ label: "lost" }]);
  expect(market.journal("rent").length).toBe(1);
});

test("reply-lost on destroy: the contract is gone and nobody said so", async () => {
  const { json } = await create();
  await fault("reply-lost", { on: "destroy" });
  expect((await create()).status).toBe(200);
  await expect(market.call("DELETE", `/api/v0/instances/${json.new_contract}/`, {})).rejects.toThrow();
  expect(await show(json.new_contract)).toBe(null);
});

test("reply-delayed: the answer comes late", async () => {
  await fault("reply-delayed", { on: "user", delay: 30 });
  const before = market.clock.now();
  expect((await market.call("GET", "/api/v0/users/current")).status).toBe(200);
  expect(market.clock.now() - before).toBe(30_000); // the test's clock slept
});

test("error-with-contract: a stopped contract stays behind, named in the error", async () => {
  await fault("error-with-contract");
  const { status, json } = await create({ label: "left" });
  expect(status).toBe(400);
  expect(json).toMatchObject({ success: false, new_contract: expect.any(Number), ask_id: expect.any(Number) });
  expect(await show(json.new_contract)).toMatchObject({
    label: "left",
    intended_status: "stopped",
    cur_state: "stopped",
    actual_status: null,
  });
  await market.pass(3600);
  expect(market.journal("charge").length).toBeGreaterThan(0);
  expect((await market.call("DELETE", `/api/v0/instances/${json.new_contract}/`, {})).status).toBe(200);
});

test("read-lag: a new contract is not seen at once", async () => {
  await fault("read-lag", { lag: 8 });
  const { json } = await create();
  expect(await show(json.new_contract)).toBe(null);
  expect(await list()).toEqual([]);
  await market.pass(8);
  expect(await show(json.new_contract)).toMatchObject({ id: json.new_contract });
  expect((await list()).length).toBe(1);
});

test("stuck-loading: the contract never comes up, and costs its disk", async () => {
  await fault("stuck-loading");
  const { json } = await create();
  await market.pass(7200);
  expect(await show(json.new_contract)).toMatchObject({ actual_status: "loading", intended_status: "running" });
  expect(market.machines.started.size).toBe(0);
  expect((await market.call("DELETE", `/api/v0/instances/${json.new_contract}/`, {})).status).toBe(200);
});

test("start-error: the contract stays created, with Docker's words", async () => {
  await fault("start-error", { text: "manifest unknown" });
  const { json } = await create();
  expect(await show(json.new_contract)).toMatchObject({
    actual_status: "created",
    status_msg: "manifest unknown",
    intended_status: "stopped",
  });
});

test("start-error of a contract that runs: its next start fails", async () => {
  const { json } = await create();
  await fault("start-error", { id: json.new_contract });
  expect((await show(json.new_contract)).actual_status).toBe("running");
  await market.call("PUT", `/api/v0/instances/reboot/${json.new_contract}/`, {});
  await market.follow();
  expect(await show(json.new_contract)).toMatchObject({
    actual_status: "created",
    status_msg: expect.stringContaining("OCI runtime create failed"),
  });
});

test.each(["ssh-refused", "ssh-slow", "ssh-wrong-key", "disk-full"])(
  "%s: the machine plays it from its start, or at once when named",
  async (kind) => {
    await fault(kind);
    const first = (await create()).json.new_contract;
    const second = (await create()).json.new_contract;
    expect(market.machines.faults.get(first)).toBe(kind);
    expect(market.machines.faults.get(second) ?? null).toBe(null);
    await fault(kind, { id: second });
    await market.follow();
    expect(market.machines.faults.get(second)).toBe(kind);
    await market.call("DELETE", `/_emulator/fault?kind=${kind}`);
    await market.follow();
    expect(market.machines.faults.get(first)).toBe(null);
    expect(market.machines.faults.get(second)).toBe(null);
  },
);

test("rate-limit: so many calls get 429 in plain text, without effect", async () => {
  await fault("rate-limit", { count: 2, on: "create" });
  for (let i = 0; i < 2; i += 1) {
    const answer = await create();
    expect(answer).toMatchObject({ status: 429, text: "API requests too frequent" });
    expect(answer.headers.get("content-type")).toBe("text/plain");
  }
  expect(market.journal("rent")).toEqual([]);
  expect((await create()).status).toBe(200);
  await fault("rate-limit", { form: "json", retryAfter: 7 });
  const answer = await market.call("GET", "/api/v1/instances/");
  expect(answer.json.detail).toContain("API requests too frequent");
  expect(answer.headers.get("retry-after")).toBe("7");
});

test("server-error: 5xx without effect, as HTML", async () => {
  await fault("server-error", { status: 503, count: 1, on: "destroy,list" });
  const { json } = await create();
  const answer = await market.call("DELETE", `/api/v0/instances/${json.new_contract}/`, {});
  expect(answer).toMatchObject({ status: 503, json: undefined, text: expect.stringContaining("503") });
  expect(await show(json.new_contract)).not.toBe(null);
});

test.each([
  ["html", /<html>/],
  ["empty", /^$/],
  ["truncated", /^\{"success":true/],
  ["null", /"instances":null/],
])("list-unreadable %s: status 200 and no list", async (body, text) => {
  await create();
  await fault("list-unreadable", { body });
  const answer = await market.call("GET", "/api/v1/instances/");
  expect(answer.status).toBe(200);
  expect(answer.text).toMatch(text);
  expect(answer.json?.instances ?? null).toBe(null);
  expect((await list()).length).toBe(1);
});

test("list-cut: rows are missing and nothing says that there are more", async () => {
  for (let i = 0; i < 4; i += 1) await create();
  await fault("list-cut", { keep: 1 });
  const { json } = await market.call("GET", "/api/v1/instances/");
  expect(json.instances.length).toBe(1);
  expect(json).not.toHaveProperty("next_token");
  expect(json.total_instances).toBe(4);
});

test("v0-list: the retired list is gone unless told otherwise", async () => {
  await create();
  expect((await market.call("GET", "/api/v0/instances/?owner=me")).status).toBe(410);
  await fault("v0-list", { mode: "empty" });
  expect((await market.call("GET", "/api/v0/instances/?owner=me")).json.instances).toEqual([]);
  await market.call("DELETE", "/_emulator/fault");
  await fault("v0-list", { mode: "old" });
  expect((await market.call("GET", "/api/v0/instances/?owner=me")).json.instances.length).toBe(1);
});

test("no-credit: create and start are refused while it lasts", async () => {
  const { json } = await create();
  const id = json.new_contract;
  await market.call("PUT", `/api/v0/instances/${id}/`, { state: "stopped" });
  await market.follow();
  await fault("no-credit");
  for (const answer of [await create(), await market.call("PUT", `/api/v0/instances/${id}/`, { state: "running" })]) {
    expect(answer).toMatchObject({ status: 400, json: { success: false, error: "insufficient_credit" } });
  }
  await market.call("DELETE", "/_emulator/fault");
  expect((await create()).status).toBe(200);
});

test("host-offline: the contract shows it, costs nothing, and comes back", async () => {
  const { json } = await create();
  await fault("host-offline", { id: json.new_contract, seconds: 600 });
  expect(await show(json.new_contract)).toMatchObject({
    actual_status: "offline",
    intended_status: "running",
    cur_state: "running",
  });
  await market.pass(720);
  expect(await show(json.new_contract)).toMatchObject({ actual_status: "running" });
  expect(market.journal("offline", "online").length).toBe(2);
});

test("market-down: connections are closed, and `/_emulator/` still answers", async () => {
  await fault("market-down", { seconds: 30 });
  await expect(market.call("GET", "/api/v1/instances/")).rejects.toThrow();
  expect((await market.call("GET", "/_emulator/status")).json.faults.length).toBe(1);
  await market.pass(31);
  expect((await market.call("GET", "/api/v1/instances/")).status).toBe(200);
});

test("knows all faults of the specification, and refuses others by name", async () => {
  // biome-ignore format: a list of words
  const wanted = ["offer-taken", "reply-lost", "reply-delayed", "error-with-contract", "read-lag", "stuck-loading", "start-error", "ssh-refused", "ssh-slow",
    "ssh-wrong-key", "rate-limit", "server-error", "list-unreadable", "list-cut", "v0-list", "no-credit", "disk-full", "host-offline", "market-down",
    "s3-error", "s3-slow-down", "s3-slow", "s3-torn", "s3-down", "s3-no-conditions"];
  expect(Object.keys(FAULT_KINDS).sort()).toEqual([...wanted].sort());
  const answer = await market.call("POST", "/_emulator/fault", { kind: "nonsense" });
  expect(answer).toMatchObject({
    status: 400,
    json: { msg: expect.stringContaining('unknown fault "nonsense"; known: disk-full') },
  });
});
