// What the official client really sends, played to the emulator without the client: needs no Python.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServedMarket, serveTestMarket } from "../../helpers/market.ts";
import { readAllFixtures, withValues } from "../../helpers/wire-fixtures.ts";

/** Commands that the market refuses, with the status of their last request. */
const REFUSED: Record<string, number> = {
  "create-instance-taken": 404,
  "create-volume": 404,
  "delete-volume": 404,
  "destroy-instance-again": 404,
  "show-ssh-keys-none": 404,
};

let market: ServedMarket;
let values: Record<string, string>;

beforeAll(async () => {
  market = await serveTestMarket();
  const { json } = await market.call("POST", "/api/v0/bundles/", {
    num_gpus: { eq: 1 },
    order: [["dph_total", "asc"]],
  });
  const offers: number[] = json.offers.map((offer: { id: number }) => offer.id);
  values = {
    key: market.key,
    time: String(Math.floor(market.clock.now() / 1000)),
    ...Object.fromEntries(offers.slice(0, 6).map((id, index) => [`offer-${index + 1}`, String(id)])),
  };
});
afterAll(() => market.close());

test("has the requests of every command that the official client has for us", () => {
  expect(readAllFixtures().length).toBeGreaterThanOrEqual(55);
});

// In the order in which a person would give them; later ones act on what the first ones made.
const order = [
  "create-instance",
  "create-instance-bid",
  "create-ssh-key",
  "update-ssh-key",
  "attach-ssh",
  "destroy-instance",
];
const fixtures = readAllFixtures().sort(([a], [b]) => rank(a) - rank(b));

test.each(fixtures)("understands what the client sends for %s", async (name, fixture) => {
  const { requests } = withValues(fixture, values);
  if (name === "show-ssh-keys-none") return; // only before the first key; see api.test.ts
  for (const { method, path, query, body, headers } of requests) {
    if (path.startsWith("/_results/")) continue;
    const search = new URLSearchParams(query).toString();
    const key = headers.authorization?.replace("Bearer ", "") ?? null;
    const answer = await market.call(
      method,
      search ? `${path}?${search}` : path,
      method === "GET" ? undefined : body,
      key,
    );
    await market.follow();
    const isLast = path === requests.at(-1)?.path;
    expect(answer.status, `${method} ${path}: ${answer.text.slice(0, 300)}`).toBe(
      isLast ? (REFUSED[name] ?? 200) : 200,
    );
    if (name === "create-instance") values["contract-1"] = String(answer.json.new_contract);
    if (name === "create-instance-bid") values["contract-2"] = String(answer.json.new_contract);
    if (name === "create-ssh-key") values["key-1"] = String(answer.json.key.id);
  }
});

function rank(name: string): number {
  const first = order.indexOf(name);
  if (first >= 0 && name !== "destroy-instance") return first - 100;
  if (name === "detach-ssh" || name === "delete-ssh-key") return 10;
  if (name.startsWith("destroy-instance")) return name === "destroy-instance" ? 20 : 30;
  return 0;
}
