import { afterEach, beforeEach, expect, test } from "vitest";
import { type ServedMarket, serveTestMarket } from "../../helpers/market.ts";

let market: ServedMarket;
beforeEach(async () => {
  market = await serveTestMarket();
});
afterEach(() => market.close());

async function create(key?: string): Promise<{ id: number; inside: string }> {
  const { json } = await market.call("POST", "/api/v0/bundles/", { order: [["dph_total", "asc"]] });
  const { json: rented } = await market.call("PUT", `/api/v0/asks/${json.offers[0].id}/`, { image: "u" }, key);
  await market.follow();
  return { id: rented.new_contract, inside: rented.instance_api_key };
}

const status = async (key: string, method: string, path: string, body?: unknown) =>
  (await market.call(method, path, body, key)).status;

test("lets the key inside a machine read, stop, start and destroy its own contract, and nothing else", async () => {
  const { id, inside } = await create();
  const other = await create();
  expect(market.machines.started.get(id)?.env.CONTAINER_API_KEY).toBe(inside);
  expect((await market.call("GET", `/api/v0/instances/${id}/`, undefined, inside)).json.instances.id).toBe(id);
  for (const [method, path, body] of [
    ["GET", `/api/v0/instances/${other.id}/`, undefined],
    ["DELETE", `/api/v0/instances/${other.id}/`, {}],
    ["PUT", `/api/v0/instances/${other.id}/`, { state: "stopped" }],
    ["PUT", `/api/v0/instances/${id}/`, { label: "x" }],
    ["GET", "/api/v1/instances/", undefined],
    ["GET", "/api/v0/users/current", undefined],
    ["GET", "/api/v0/auth/apikeys/", undefined],
    ["POST", "/api/v0/bundles/", {}],
    ["PUT", "/api/v0/asks/1000001/", { image: "u" }],
    ["DELETE", "/api/v0/instances/", { instance_ids: [id] }],
    ["POST", `/api/v0/instances/${id}/ssh/`, { ssh_key: "ssh-ed25519 AAAA" }],
  ] as const) {
    expect(await status(inside, method, path, body), `${method} ${path}`).toBe(403);
  }
  expect(await status(inside, "GET", "/_emulator/status")).toBe(401);
  expect(await status(inside, "PUT", `/api/v0/instances/${id}/`, { state: "stopped" })).toBe(200);
  await market.follow();
  expect(await status(inside, "PUT", `/api/v0/instances/${id}/`, { state: "running" })).toBe(200);
  expect(await status(inside, "DELETE", `/api/v0/instances/${id}/`, {})).toBe(200);
  expect((await market.call("GET", `/api/v0/instances/${id}/`)).json.instances).toBe(null);
  expect(await status(inside, "GET", `/api/v0/instances/${id}/`)).toBe(401);
  expect((await market.call("GET", `/api/v0/instances/${other.id}/`)).json.instances.id).toBe(other.id);
});

test("makes keys that may do only what is listed, shows them once, and takes them back", async () => {
  const made = await market.call("POST", "/api/v0/auth/apikeys/", {
    name: "ci",
    permissions: { api: { misc: {}, instance_read: {} } },
  });
  expect(made.json).toEqual({
    id: expect.any(Number),
    key: expect.stringMatching(/^[0-9a-f]{64}$/),
    permissions: expect.anything(),
  });
  const { id, key } = made.json;
  expect(await status(key, "POST", "/api/v0/bundles/", {})).toBe(200);
  expect(await status(key, "GET", "/api/v1/instances/")).toBe(200);
  const refused = await market.call("PUT", "/api/v0/asks/1000001/", { image: "u" }, key);
  expect(refused).toMatchObject({
    status: 403,
    json: { success: false, error: "not_authorized", msg: expect.stringContaining("instance_write") },
  });
  const listed = (await market.call("GET", "/api/v0/auth/apikeys/")).json.apikeys;
  expect(listed.find((one: { id: number }) => one.id === id)).toMatchObject({ rights: { api: { misc: {} } } });
  expect(JSON.stringify(listed)).not.toContain(key);
  expect((await market.call("DELETE", `/api/v0/auth/apikeys/${id}/`, {})).json).toBe("Successfully Deleted API Key");
  expect(await status(key, "GET", "/api/v1/instances/")).toBe(401);
});

test("keeps the accounts apart", async () => {
  const { json: other } = await market.call("POST", "/_emulator/account", { name: "other" });
  const { id } = await create();
  const asOther = (method: string, path: string, body?: unknown) => market.call(method, path, body, other.apiKey);
  expect((await asOther("GET", "/api/v0/users/current")).json.id).toBe(other.accountId);
  expect((await asOther("GET", `/api/v0/instances/${id}/`)).json.instances).toBe(null);
  expect((await asOther("GET", "/api/v1/instances/")).json.instances).toEqual([]);
  expect(await asOther("DELETE", `/api/v0/instances/${id}/`, {})).toMatchObject({
    status: 403,
    json: { error: "not_authorized" },
  });
  expect((await asOther("GET", "/_emulator/status")).status).toBe(401);
  expect((await market.call("GET", `/api/v0/instances/${id}/`)).json.instances.actual_status).toBe("running");
});

test("puts the account's variables into new machines, under the ones of the request", async () => {
  await market.call("POST", "/api/v0/secrets/", { key: "hf_token", value: "abc" });
  expect((await market.call("GET", "/api/v0/secrets/")).json.secrets).toEqual({ HF_TOKEN: "abc" });
  const { id } = await create();
  expect(market.machines.started.get(id)?.env).toMatchObject({
    HF_TOKEN: "abc",
    CONTAINER_ID: String(id),
    VAST_CONTAINERLABEL: `C.${id}`,
    GPU_COUNT: "1",
  });
  await market.call("DELETE", "/api/v0/secrets/", { key: "HF_TOKEN" });
  expect((await market.call("GET", "/api/v0/secrets/")).json.secrets).toEqual({});
});
