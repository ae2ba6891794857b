import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServedMarket, serveTestMarket } from "../../helpers/market.ts";

let market: ServedMarket;
beforeAll(async () => {
  market = await serveTestMarket();
});
afterAll(() => market.close());

const search = { order: [["dph_total", "asc"]], type: "on-demand", allocated_storage: 10 };

async function create(body: Record<string, unknown> = {}, query: Record<string, unknown> = {}): Promise<number> {
  const { json } = await market.call("POST", "/api/v0/bundles/", { ...search, ...query });
  const { json: answer } = await market.call("PUT", `/api/v0/asks/${json.offers[0].id}/`, {
    image: "u",
    disk: 10,
    ...body,
  });
  await market.follow();
  return answer.new_contract;
}

const show = async (id: number) => (await market.call("GET", `/api/v0/instances/${id}/?owner=me`)).json.instances;

test("sends exactly application/json, which the official client compares as a text", async () => {
  for (const [method, path, body] of [
    ["POST", "/api/v0/bundles/", search],
    ["GET", "/api/v1/instances/", undefined],
    ["GET", "/api/v0/nothing/", undefined],
  ] as const) {
    const { headers } = await market.call(method, path, body);
    expect(headers.get("content-type")).toBe("application/json");
  }
});

test.each([
  ["/api/v0/users/current", "id"],
  ["/api/v0/users/current/", "id"],
  ["/api/v0/volumes?owner=me&type=all_volume", "volumes"],
  ["/api/v0/subaccounts?owner=me", "users"],
  ["/api/v0/users/me/invoices?owner=me", "invoices"],
  ["/api/v0/users/me/ipaddrs", "results"],
  ["//api/v0/users/current/", "id"],
  ["/api/v1/instances", "instances"],
])("answers %s without a redirect", async (path, key) => {
  const { status, json } = await market.call("GET", path);
  expect(status).toBe(200);
  expect(json).toHaveProperty(key);
});

test("answers an unknown route with a 404 object that has a msg", async () => {
  const { status, json } = await market.call("GET", "/api/v0/no/such/route/");
  expect(status).toBe(404);
  expect(json).toMatchObject({ success: false, msg: expect.stringContaining("no such route") });
});

test.each([
  ["no key", null, "GET", "/api/v1/instances/", 403, "This action requires login."],
  ["an unknown key", "nonsense", "GET", "/api/v1/instances/", 401, "Invalid user key"],
  ["an unknown key on a search", "nonsense", "POST", "/api/v0/bundles/", 404, "Invalid user key"],
  ["an unknown key on billing", "nonsense", "GET", "/api/v0/users/me/invoices", 404, "Invalid user key"],
])("refuses %s", async (_, key, method, path, status, msg) => {
  const answer = await market.call(method, path, method === "POST" ? {} : undefined, key);
  expect(answer.status).toBe(status);
  expect(answer.json).toEqual({ success: false, error: "auth_error", msg });
});

test("takes the key from the query, as old clients send it", async () => {
  expect((await market.call("GET", `/api/v0/users/current?api_key=${market.key}`, undefined, null)).status).toBe(200);
});

test("refuses a body that is no JSON object", async () => {
  for (const body of ["{nonsense", "[1]", '"text"']) {
    const { status, json } = await market.call("POST", "/api/v0/bundles/", body);
    expect(status).toBe(400);
    expect(json).toMatchObject({ error: "invalid_request", msg: "Invalid json body" });
  }
});

test("finds the same offers by all spellings of a search", async () => {
  const query = { ...search, gpu_name: { eq: "RTX_4090" }, num_gpus: { eq: "1" } };
  const ids = async (answer: Promise<{ json: { offers: { id: number }[] } }>) =>
    (await answer).json.offers.map((one) => one.id);
  const posted = await ids(market.call("POST", "/api/v0/bundles/", query));
  expect(posted.length).toBeGreaterThan(5);
  expect(await ids(market.call("GET", `/api/v0/bundles/?q=${encodeURIComponent(JSON.stringify(query))}`))).toEqual(
    posted,
  );
  expect(await ids(market.call("PUT", "/api/v0/search/asks/", { select_cols: ["*"], q: query }))).toEqual(posted);
});

test("gives at most 64 offers and shows the rest beyond the last price", async () => {
  const seen = new Set<number>();
  let price = 0;
  for (;;) {
    const { json } = await market.call("POST", "/api/v0/bundles/", {
      ...search,
      limit: 1000,
      dph_total: { gte: price },
    });
    expect(json.offers.length).toBeLessThanOrEqual(64);
    const before = seen.size;
    for (const offer of json.offers) seen.add(offer.id);
    if (seen.size === before) break;
    price = json.offers.at(-1).dph_total;
  }
  expect(seen.size).toBeGreaterThanOrEqual(100);
});

test("keeps the order and limit of a search, and refuses a filter that it cannot read", async () => {
  const { json } = await market.call("POST", "/api/v0/bundles/", { order: [["dph_total", "desc"]], limit: 3 });
  const prices = json.offers.map((offer: { dph_total: number }) => offer.dph_total);
  expect(prices).toEqual([...prices].sort((a, b) => b - a));
  expect(prices.length).toBe(3);
  const broken = await market.call("POST", "/api/v0/bundles/", { num_gpus: { like: 3 } });
  expect(broken).toMatchObject({ status: 400, json: { error: "invalid_request" } });
});

test("composes the price of an offer from GPU and the disk that was asked for", async () => {
  const total = async (gb: number) =>
    (await market.call("POST", "/api/v0/bundles/", { ...search, order: [["id", "asc"]], allocated_storage: gb })).json
      .offers[0];
  const [small, large] = [await total(0), await total(720)];
  expect(small.id).toBe(large.id);
  expect(small.dph_total).toBeCloseTo(small.dph_base, 5);
  expect(large.dph_total - small.dph_total).toBeCloseTo(large.storage_cost, 4);
});

test("rents an offer once: it is gone from the search, and a second rent is refused", async () => {
  const { json } = await market.call("POST", "/api/v0/bundles/", search);
  const offer = json.offers[0].id;
  const first = await market.call("PUT", `/api/v0/asks/${offer}/`, { image: "u" });
  expect(first.json).toMatchObject({
    success: true,
    new_contract: expect.any(Number),
    instance_api_key: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  const after = await market.call("POST", "/api/v0/bundles/", search);
  expect(after.json.offers.map((one: { id: number }) => one.id)).not.toContain(offer);
  const second = await market.call("PUT", `/api/v0/asks/${offer}/`, { image: "u", cancel_unavail: false });
  expect(second.status).toBe(404);
  expect(second.json).toMatchObject({
    success: false,
    error: "invalid_args",
    msg: expect.stringContaining("no_such_ask"),
    ask_id: offer,
  });
  const race = await market.call("PUT", `/api/v0/asks/${offer}/`, { image: "u", cancel_unavail: true });
  expect(race).toMatchObject({ status: 410, json: { error: "no_such_ask" } });
  const never = await market.call("PUT", "/api/v0/asks/99999999/", { image: "u", cancel_unavail: true });
  expect(never.status).toBe(404);
});

test("lists a destroyed contract's GPUs again under a new id", async () => {
  const { json } = await market.call("POST", "/api/v0/bundles/", search);
  const { id: offer, bundle_id } = json.offers[0];
  const { json: rented } = await market.call("PUT", `/api/v0/asks/${offer}/`, { image: "u" });
  await market.call("DELETE", `/api/v0/instances/${rented.new_contract}/`, {});
  const again = (await market.call("POST", "/api/v0/bundles/", { ...search, bundle_id: { eq: bundle_id } })).json
    .offers;
  expect(again.length).toBe(1);
  expect(again[0].id).not.toBe(offer);
  expect(again[0].ask_contract_id).toBe(again[0].id);
});

test("shows a contract as the official client needs it", async () => {
  const id = await create({
    label: "shown",
    env: { A: "b", "-p 8080:8080": "1" },
    runtype: "ssh_direc ssh_proxy",
    onstart: "echo hi",
  });
  const instance = await show(id);
  expect(instance).toMatchObject({
    id,
    label: "shown",
    actual_status: "running",
    intended_status: "running",
    cur_state: "running",
    next_state: "running",
    extra_env: [
      ["A", "b"],
      ["-p 8080:8080", "1"],
    ],
    image_runtype: "ssh_direc ssh_proxy",
    onstart: "echo hi",
    is_bid: false,
    disk_space: 10,
    ssh_host: expect.any(String),
    ssh_port: expect.any(Number),
    start_date: expect.any(Number),
    ports: {
      "22/tcp": [{ HostIp: "0.0.0.0", HostPort: expect.stringMatching(/^\d+$/) }],
      "8080/tcp": [expect.anything()],
    },
  });
  expect(instance.dph_total).toBeCloseTo(instance.dph_base + instance.storage_total_cost, 5);
  expect(instance.volume_info).toBeUndefined();
  const { json } = await market.call("GET", "/api/v1/instances/");
  expect(json.instances.find((one: { id: number }) => one.id === id)).toMatchObject({ volume_info: [] });
});

test("leaves the ports out unless the contract runs", async () => {
  const id = await create({ runtype: "ssh_direc ssh_proxy" });
  await market.call("PUT", `/api/v0/instances/${id}/`, { state: "stopped" });
  expect((await show(id)).intended_status).toBe("stopped");
  await market.follow();
  const instance = await show(id);
  expect(instance).not.toHaveProperty("ports");
  expect(instance).toMatchObject({
    actual_status: "exited",
    cur_state: "stopped",
    next_state: "stopped",
    intended_status: "stopped",
  });
  expect(instance.instance.gpuCostPerHour).toBe(0);
  expect(await market.call("PUT", `/api/v0/instances/${id}/`, { state: "running" })).toMatchObject({
    status: 200,
    json: { success: true },
  });
  await market.follow();
  expect((await show(id)).actual_status).toBe("running");
});

test("gives null for a contract that is gone, and no_such_instance to whoever acts on it", async () => {
  const id = await create();
  expect((await market.call("DELETE", `/api/v0/instances/${id}/`, {})).json).toEqual({ success: true });
  expect((await market.call("GET", `/api/v0/instances/${id}/`)).json).toEqual({ instances: null });
  for (const [method, body] of [
    ["DELETE", {}],
    ["PUT", { state: "stopped" }],
    ["PUT", { label: "x" }],
  ] as const) {
    const answer = await market.call(method, `/api/v0/instances/${id}/`, body);
    expect(answer).toMatchObject({ status: 404, json: { success: false, error: "no_such_instance" } });
  }
});

test("starts, stops and destroys several at once", async () => {
  const ids = [await create(), await create()];
  expect((await market.call("PUT", "/api/v0/instances/", { state: "stopped", ids })).json).toEqual({ success: true });
  await market.follow();
  for (const id of ids) expect((await show(id)).intended_status).toBe("stopped");
  expect((await market.call("PUT", "/api/v0/instances/", { state: "running", ids })).json).toEqual({ success: true });
  expect((await market.call("DELETE", "/api/v0/instances/", { instance_ids: ids })).json).toEqual({ success: true });
  for (const id of ids) expect(await show(id)).toBe(null);
});

test("queues a start while somebody else has the GPUs", async () => {
  const id = await create();
  await market.call("PUT", `/api/v0/instances/${id}/`, { state: "stopped" });
  await market.follow();
  const { machine_id, bundle_id } = await show(id);
  const other = await create({}, { machine_id: { eq: machine_id }, bundle_id: { eq: bundle_id } });
  const start = await market.call("PUT", `/api/v0/instances/${id}/`, { state: "running" });
  expect(start).toMatchObject({ status: 200, json: { success: false, error: "resources_unavailable" } });
  expect(await show(id)).toMatchObject({ intended_status: "running", cur_state: "stopped", actual_status: "exited" });
  await market.call("DELETE", `/api/v0/instances/${other}/`, {});
  await market.follow();
  expect((await show(id)).actual_status).toBe("running");
});

test("changes a label, and refuses one without end", async () => {
  const id = await create();
  expect((await market.call("PUT", `/api/v0/instances/${id}/`, { label: "new" })).json.success).toBe(true);
  expect((await show(id)).label).toBe("new");
  const long = await market.call("PUT", `/api/v0/instances/${id}/`, { label: "x".repeat(1025) });
  expect(long).toMatchObject({ status: 400, json: { error: "label_too_long" } });
});

test("rents several offers in one call and says what became of each", async () => {
  const { json } = await market.call("POST", "/api/v0/bundles/", search);
  const [a, b] = json.offers.map((one: { id: number }) => one.id);
  const { json: bulk } = await market.call("POST", "/api/v0/asks/bulk/", { image: "u", ids: [a, b, 99999999] });
  expect(bulk).toMatchObject({
    success: true,
    results: [
      { ask_id: a, success: true },
      { ask_id: b, success: true },
      { ask_id: 99999999, success: false },
    ],
  });
  expect(bulk.new_contracts.length).toBe(2);
});

test("launches on the first offer that fits", async () => {
  const { json } = await market.call("PUT", "/api/v0/launch_instance/", {
    image: "img",
    disk: 16,
    q: { gpu_name: { eq: "L40S" }, num_gpus: { eq: "1" } },
  });
  expect((await show(json.new_contract)).gpu_name).toBe("L40S");
  const none = await market.call("PUT", "/api/v0/launch_instance/", {
    image: "img",
    q: { gpu_name: { eq: "GTX 480" } },
  });
  expect(none).toMatchObject({ status: 404, json: { error: "no_such_ask" } });
});

test("pages, filters, orders and cuts the list of contracts", async () => {
  const page = await serveTestMarket();
  try {
    const { json: found } = await page.call("POST", "/api/v0/bundles/", { ...search, limit: 30 });
    for (const [index, offer] of found.offers.entries()) {
      await page.call("PUT", `/api/v0/asks/${offer.id}/`, { image: "u", label: index % 3 === 0 ? "train" : null });
    }
    const list = async (query: string) => (await page.call("GET", `/api/v1/instances/?${query}`)).json;
    const first = await list("");
    expect(first).toMatchObject({
      success: true,
      instances_found: 30,
      total_instances: 30,
      label_counts: { train: 10, "": 20 },
    });
    expect(first.instances.length).toBe(25);
    const second = await list(`after_token=${encodeURIComponent(first.next_token)}`);
    expect(second.instances.length).toBe(5);
    expect(second.next_token).toBe(null);

    const json = (value: unknown) => encodeURIComponent(JSON.stringify(value));
    const labelled = await list(
      `select_filters=${json({ label: { in: ["train"] } })}&select_cols=${json(["id", "label", "nothing"])}`,
    );
    expect(labelled.instances.length).toBe(10);
    expect(Object.keys(labelled.instances[0])).toEqual(["id", "label", "nothing"]);
    expect((await list(`select_filters=${json({ label: { in: [null] } })}`)).instances_found).toBe(20);
    expect((await list(`select_filters=${json({ label: { eq: "" } })}`)).instances_found).toBe(20);
    const newest = await list(`order_by=${json([{ col: "id", dir: "desc" }])}&limit=2`);
    expect(newest.instances.map((one: { id: number }) => one.id)).toEqual(
      [...newest.instances.map((one: { id: number }) => one.id)].sort((a, b) => b - a),
    );

    for (const query of [`select_filters=${json({ dph_total: { lt: 1 } })}`, "select_filters=nonsense"]) {
      expect((await page.call("GET", `/api/v1/instances/?${query}`)).json.error).toBe("invalid_request");
    }
    expect(await page.call("GET", "/api/v1/instances/?after_token=nonsense")).toMatchObject({
      status: 400,
      json: { error: "invalid_token" },
    });
  } finally {
    await page.close();
  }
});

test("keeps account keys, gives them to new contracts, and lets others be attached", async () => {
  const own = await serveTestMarket();
  try {
    expect((await own.call("GET", "/api/v0/ssh/")).status).toBe(404);
    const { json: made } = await own.call("POST", "/api/v0/ssh/", { ssh_key: "ssh-ed25519 AAAA one" });
    expect(made).toMatchObject({ success: true, key: { public_key: "ssh-ed25519 AAAA one", deleted_at: null } });
    expect((await own.call("GET", "/api/v0/ssh/")).json).toEqual([
      expect.objectContaining({ id: made.key.id, key: "ssh-ed25519 AAAA one" }),
    ]);
    const { json } = await own.call("POST", "/api/v0/bundles/", search);
    const { json: rented } = await own.call("PUT", `/api/v0/asks/${json.offers[0].id}/`, { image: "u" });
    const id = rented.new_contract;
    await own.follow();
    expect(own.machines.keys.get(id)).toEqual(["ssh-ed25519 AAAA one"]);
    await own.call("POST", `/api/v0/instances/${id}/ssh/`, { ssh_key: "ssh-ed25519 BBBB two" });
    await own.call("POST", `/api/v0/instances/${id}/ssh/`, { ssh_key: "ssh-ed25519 BBBB two" });
    expect(own.machines.keys.get(id)).toEqual(["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"]);
    const attached = JSON.parse((await own.call("GET", `/api/v0/instances/${id}/ssh/`)).json.ssh_keys);
    expect(attached.map((key: { public_key: string }) => key.public_key)).toEqual([
      "ssh-ed25519 AAAA one",
      "ssh-ed25519 BBBB two",
    ]);
    await own.call("DELETE", `/api/v0/instances/${id}/ssh/${attached[1].id}/`, {});
    expect(own.machines.keys.get(id)).toEqual(["ssh-ed25519 AAAA one"]);
    expect((await own.call("DELETE", `/api/v0/instances/${id}/ssh/${attached[1].id}/`, {})).json.error).toBe(
      "no_such_ssh_key",
    );
    expect((await own.call("POST", `/api/v0/instances/${id}/ssh/`, { ssh_key: "-----BEGIN" })).json.error).toBe(
      "no_ssh_key",
    );
    expect((await own.call("DELETE", `/api/v0/ssh/${made.key.id}/`, {})).json).toEqual({ success: true });
    expect(await own.call("DELETE", `/api/v0/ssh/${made.key.id}/`, {})).toMatchObject({
      status: 400,
      json: { error: "no_ssh_key" },
    });
  } finally {
    await own.close();
  }
});

test("gives logs by a link that needs no key and answers at the second look", async () => {
  const id = await create();
  const { json } = await market.call("PUT", `/api/v0/instances/request_logs/${id}/`, { tail: "10" });
  expect((await fetch(json.result_url)).status).toBe(404);
  const log = await fetch(json.result_url);
  expect(log.status).toBe(200);
  expect(await log.text()).toContain(`machine C.${id} started`);
  const daemon = await market.call("PUT", `/api/v0/instances/request_logs/${id}/`, {
    daemon_logs: "true",
    filter: "rent",
  });
  await fetch(daemon.json.result_url);
  expect((await (await fetch(daemon.json.result_url)).text()).trim().split("\n").length).toBe(1);
});

test("checks commands for disks", async () => {
  const id = await create();
  const run = (command: unknown) => market.call("PUT", `/api/v0/instances/command/${id}/`, { command });
  expect((await run("ls -l")).json).toMatchObject({
    success: true,
    result_url: expect.stringContaining("http"),
    writeable_path: expect.any(String),
  });
  expect(await run("")).toMatchObject({ status: 483, json: { error: "invalid_args" } });
  expect((await run("curl x")).status).toBe(400);
});

test("bills what was used, by day and in lines", async () => {
  const own = await serveTestMarket();
  try {
    const { json } = await own.call("POST", "/api/v0/bundles/", search);
    const { json: rented } = await own.call("PUT", `/api/v0/asks/${json.offers[0].id}/`, {
      image: "u",
      disk: 10,
      label: "billed",
    });
    await own.follow();
    await own.pass(2 * 86_400);
    const before = (await own.call("GET", "/api/v0/users/current")).json.credit;
    const spent = 25 - before;
    const days = encodeURIComponent(
      JSON.stringify({ day: { gte: own.clock.now() / 1000 - 5 * 86_400, lte: own.clock.now() / 1000 } }),
    );
    const { json: charges } = await own.call(
      "GET",
      `/api/v0/charges/?select_filters=${days}&latest_first=false&limit=20&format=table`,
    );
    expect(charges.success).toBe(true);
    expect(charges.results.map((row: { source: string }) => row.source)).toEqual(
      Array(charges.total).fill(`instance-${rented.new_contract}`),
    );
    const sum = charges.results.reduce((total: number, row: { amount: number }) => total + row.amount, 0);
    expect(sum).toBeCloseTo(spent, 4);
    expect(charges.results[0].items.map((item: { type: string }) => item.type)).toEqual(["gpu", "disk"]);
    const { json: invoices } = await own.call(
      "GET",
      `/api/v0/users/me/invoices?owner=me&sdate=0&edate=${own.clock.now() / 1000}&inc_charges=true`,
    );
    expect(invoices.current.total).toBeCloseTo(spent, 4);
    expect(typeof invoices.invoices[0].timestamp).toBe("number");
    expect((await own.call("GET", "/api/v0/charges/")).status).toBe(400);
    const when = encodeURIComponent(JSON.stringify({ when: { gte: 0, lte: own.clock.now() / 1000 } }));
    expect((await own.call("GET", `/api/v1/invoices/?select_filters=${when}`)).json.results).toEqual([
      expect.objectContaining({ type: "credit", amount: 25 }),
    ]);
  } finally {
    await own.close();
  }
});

test("refuses the interruptible what does not win, and leaves a stopped contract unless told otherwise", async () => {
  const { json } = await market.call("POST", "/api/v0/bundles/", { ...search, type: "bid" });
  const { id: offer, min_bid: minBid } = json.offers[0];
  const careful = await market.call("PUT", `/api/v0/asks/${offer}/`, {
    image: "u",
    price: minBid / 2,
    cancel_unavail: true,
  });
  expect(careful).toMatchObject({ status: 400, json: { success: false, error: "invalid_price" } });
  expect(careful.json).not.toHaveProperty("new_contract");
  const careless = await market.call("PUT", `/api/v0/asks/${offer}/`, {
    image: "u",
    price: minBid / 2,
    cancel_unavail: false,
  });
  expect(careless).toMatchObject({
    status: 400,
    json: { success: false, new_contract: expect.any(Number), ask_id: offer },
  });
  const id = careless.json.new_contract;
  expect(await show(id)).toMatchObject({
    intended_status: "stopped",
    cur_state: "stopped",
    actual_status: null,
    is_bid: true,
  });
  await market.call("PUT", `/api/v0/instances/bid_price/${id}/`, { client_id: "me", price: minBid * 1.1 });
  await market.follow();
  expect(await show(id)).toMatchObject({ actual_status: "running", dph_base: expect.closeTo(minBid * 1.1, 4) });
  expect((await market.call("PUT", `/api/v0/instances/bid_price/${id}/`, { price: 0.0001 })).status).toBe(400);
});
