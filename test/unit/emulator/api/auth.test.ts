import { expect, test } from "vitest";
import { authorize, keyOfRequest } from "../../../../emulator/api/auth.ts";
import { marketRoutes } from "../../../../emulator/api/routes/index.ts";
import type { KeyRecord, Rights } from "../../../../emulator/state/records.ts";

const routes = marketRoutes();

function may(
  name: string,
  rights: Rights,
  params: Record<string, string> = {},
  contractId: number | null = null,
  body = {},
): boolean {
  const route = routes.find((one) => one.name === name);
  if (!route) throw new Error(`no route ${name}`);
  try {
    authorize(route, { rights, contractId } as KeyRecord, params, body);
    return true;
  } catch {
    return false;
  }
}

test("lets a key without a list do everything", () => {
  for (const { name } of routes) expect(may(name, null)).toBe(true);
});

test.each([
  ["api.bundles", "misc"],
  ["api.launch_instance", "misc"],
  ["api.audit_logs", "misc"],
  ["api.instances.list", "instance_read"],
  ["api.instance.request_logs", "instance_read"],
  ["api.instance.ssh.list", "instance_read"],
  ["api.asks.create", "instance_write"],
  ["api.instance.destroy", "instance_write"],
  ["api.instance.bid_price", "instance_write"],
  ["api.instance.ssh.attach", "instance_write"],
  ["api.user.show", "user_read"],
  ["api.ssh.list", "user_read"],
  ["api.templates.list", "user_read"],
  ["api.secrets.list", "user_read"],
  ["api.ssh.create", "user_write"],
  ["api.apikeys.create", "user_write"],
  ["api.charges", "billing_read"],
  ["api.user.invoices", "billing_read"],
])("asks for the right permission at %s: %s", (name, scope) => {
  expect(may(name, { [scope]: {} })).toBe(true);
  expect(may(name, {})).toBe(false);
  expect(may(name, { other: {} })).toBe(false);
});

test("narrows a category to endpoints and ids", () => {
  const rights: Rights = { instance_read: { "api.instance.request_logs": { constraints: { id: { eq: 1227 } } } } };
  expect(may("api.instance.request_logs", rights, { id: "1227" })).toBe(true);
  expect(may("api.instance.request_logs", rights, { id: "1228" })).toBe(false);
  expect(may("api.instances.list", rights)).toBe(false);
  const range: Rights = { instance_read: { "api.instance.show": { constraints: { id: { gte: 10, lte: 12 } } } } };
  expect(["9", "10", "12", "13"].map((id) => may("api.instance.show", range, { id }))).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test("holds the key inside a machine to the state of its own contract", () => {
  const inside = (name: string, id: string, body = {}) => may(name, null, { id }, 7, body);
  expect(inside("api.instance.show", "7")).toBe(true);
  expect(inside("api.instance.destroy", "7")).toBe(true);
  expect(inside("api.instance.update", "7", { state: "stopped" })).toBe(true);
  expect(inside("api.instance.update", "7", { label: "x" })).toBe(false);
  expect(inside("api.instance.destroy", "8")).toBe(false);
  for (const name of [
    "api.instances.list",
    "api.user.show",
    "api.asks.create",
    "api.instance.bid_price",
    "api.instances.destroy",
  ]) {
    expect(inside(name, "7"), name).toBe(false);
  }
});

test("finds the key in the header, else in the query", () => {
  const query = new URLSearchParams("api_key=old");
  expect(keyOfRequest("Bearer new", query)).toBe("new");
  expect(keyOfRequest(undefined, query)).toBe("old");
  expect(keyOfRequest("Basic eDp5", new URLSearchParams())).toBe(null);
});
