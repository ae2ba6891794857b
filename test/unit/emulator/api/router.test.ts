import { expect, test } from "vitest";
import { get, ok, put } from "../../../../emulator/api/route.ts";
import { createRouter } from "../../../../emulator/api/router.ts";
import { marketRoutes } from "../../../../emulator/api/routes/index.ts";

const access = { scope: "misc", call: "other" } as const;
const router = createRouter([
  get("/api/v0/instances/:id/", access, "one", () => ok({})),
  get("/api/v0/instances/filters/", access, "filters", () => ok({})),
  put("/api/v0/instances/:id/ssh/:keyId/", access, "key", () => ok({})),
]);

test.each([
  ["GET", "/api/v0/instances/5001/", "one", { id: "5001" }],
  ["GET", "/api/v0/instances/5001", "one", { id: "5001" }],
  ["GET", "//api/v0/instances/5001/", "one", { id: "5001" }],
  ["GET", "/api/v0/instances/filters/", "filters", {}],
  ["PUT", "/api/v0/instances/1/ssh/2/", "key", { id: "1", keyId: "2" }],
])("finds %s %s", (method, path, name, params) => {
  expect(router.find(method, path)).toMatchObject({ route: { name }, params });
});

test.each([
  ["POST", "/api/v0/instances/5001/"],
  ["GET", "/api/v0/instances/"],
  ["GET", "/api/v0/instances/5001/more/"],
  ["GET", "/"],
])("does not find %s %s", (method, path) => {
  expect(router.find(method, path)).toBeUndefined();
});

test("has no two routes for the same call", () => {
  const seen = marketRoutes().map((route) => `${route.method} ${route.path}`);
  expect(new Set(seen).size).toBe(seen.length);
});

test("lets the key inside a machine no further than its own contract", () => {
  const open = marketRoutes().filter((route) => route.forInstanceKey);
  expect(open.map((route) => `${route.method} ${route.path}`).sort()).toEqual([
    "DELETE /api/v0/instances/:id/",
    "GET /api/v0/instances/:id/",
    "PUT /api/v0/instances/:id/",
  ]);
});
