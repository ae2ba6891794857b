/** The market's client: what it sends, what it repeats, and what it takes for an answer. */
import { inspect } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../../../common/secret.ts";
import { createApi, isLoopback, type MarketApi } from "../../../../infra/vast/api.ts";
import type { MarketError } from "../../../../infra/vast/market-error.ts";
import { type FakeClock, fakeClock } from "../../../helpers/fake-clock.ts";
import { type FakeAnswer, type FakeFetch, fakeFetch } from "../../../helpers/fake-fetch.ts";

const KEY = "0123456789abcdef-account-key";
const order = { image: "ubuntu", diskGB: 10, bidPerHour: 0.2, label: "l", onstart: "true", env: { A: "b" } };
const ok = (body: unknown): FakeAnswer => ({ status: 200, body });
const network = () => Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });

let clock: FakeClock;
let sent: FakeFetch;
beforeEach(() => {
  clock = fakeClock();
});

function apiWith(answers: FakeAnswer[], url = "http://127.0.0.1:9"): MarketApi {
  sent = fakeFetch(...answers);
  return createApi({ url, key: new Secret(KEY), clock, random: () => 0, fetch: sent.fetch });
}

async function refusal(promise: Promise<unknown>): Promise<MarketError> {
  return promise.then(
    () => {
      throw new Error("it worked");
    },
    (error: MarketError) => error,
  );
}

const noCheck = async () => {};
const page = (ids: number[], more: object = {}) => ok({ success: true, instances: ids.map((id) => ({ id })), ...more });

describe("every call", () => {
  test("carries the key in a header, never in the address, and follows no redirect", async () => {
    await apiWith([ok({ id: 42, credit: 7.5 })]).account();
    expect(sent.calls).toEqual([
      {
        method: "GET",
        url: "http://127.0.0.1:9/api/v0/users/current",
        headers: { authorization: `Bearer ${KEY}`, accept: "application/json" },
        body: undefined,
        redirect: "error",
      },
    ]);
  });

  test.each<[string, (api: MarketApi) => Promise<unknown>, string, string, unknown]>([
    ["destroy", (api) => api.destroy(5), "DELETE", "/api/v0/instances/5/", {}],
    ["stop", (api) => api.setState(5, "stopped"), "PUT", "/api/v0/instances/5/", { state: "stopped" }],
    ["label", (api) => api.setLabel(5, "x"), "PUT", "/api/v0/instances/5/", { label: "x" }],
    ["bid", (api) => api.setBid(5, 0.3), "PUT", "/api/v0/instances/bid_price/5/", { client_id: "me", price: 0.3 }],
    [
      "key",
      (api) => api.attachKey(5, "ssh-ed25519 A"),
      "POST",
      "/api/v0/instances/5/ssh/",
      { ssh_key: "ssh-ed25519 A" },
    ],
    ["search", (api) => api.searchOffers({ a: 1 }).catch(() => 0), "POST", "/api/v0/bundles/", { a: 1 }],
  ])("%s goes to its address with a JSON body", async (_what, act, method, path, body) => {
    await act(apiWith([ok({ success: true, offers: [] })]));
    expect(sent.calls[0]).toMatchObject({ method, url: `http://127.0.0.1:9${path}`, body });
    expect(sent.calls[0]?.headers["content-type"]).toBe("application/json");
  });

  test.each<[string, (api: MarketApi) => Promise<unknown>]>([
    ["destroy", (api) => api.destroy(5)],
    ["state", (api) => api.setState(5, "running")],
    ["label", (api) => api.setLabel(5, "x")],
    ["bid", (api) => api.setBid(5, 0.3)],
    ["key", (api) => api.attachKey(5, "k")],
  ])("%s: a 200 with success false is a no", async (_what, act) => {
    const error = await refusal(act(apiWith([ok({ success: false, error: "resources_unavailable", msg: "queued" })])));
    expect(error).toMatchObject({ kind: "busy", detail: "queued" });
  });

  test.each<[string, FakeAnswer]>([
    ["a 500", { status: 500, body: "<html>" }],
    ["a 503", { status: 503, body: "" }],
    ["a broken connection", network()],
    ["a 429", { status: 429, body: "API requests too frequent" }],
  ])("%s is tried again", async (_what, fault) => {
    const api = apiWith([fault, fault, ok({ id: 42 })]);
    expect(await api.account()).toEqual({ id: 42, creditUsd: 0 });
    expect(sent.calls).toHaveLength(3);
    expect(clock.passed()).toBeGreaterThan(0);
  });

  test.each<[string, FakeAnswer]>([
    ["a refusal", { status: 400, body: { error: "invalid_args" } }],
    ["an unknown key", { status: 401, body: { error: "auth_error" } }],
    ["an answer that is no JSON", ok("<html>We will be right back.</html>")],
    ["an empty answer", ok("")],
    ["an answer of another shape", ok({ user: 42 })],
  ])("%s is not", async (_what, fault) => {
    await refusal(apiWith([fault]).account());
    expect(sent.calls).toHaveLength(1);
  });

  test("gives up after 30 s of faults with the last one", async () => {
    const error = await refusal(apiWith([network()]).account());
    expect(error).toMatchObject({ kind: "network", detail: "ECONNREFUSED" });
    expect(error.message).toBe("reading the account: network: ECONNREFUSED");
    expect(clock.passed()).toBeLessThanOrEqual(30_000);
    expect(clock.passed()).toBeGreaterThan(20_000);
  });

  test("waits as long as a 429 says, and keeps to that from then on", async () => {
    const busy: FakeAnswer = { status: 429, body: "API requests too frequent: endpoint threshold=4.5" };
    const api = apiWith([busy, ok({ id: 42 })]);
    await api.account();
    expect(clock.passed()).toBe(4550);
    await api.account();
    expect(clock.passed()).toBe(9100);
  });

  test("keeps to the documented pace on the real market", async () => {
    const api = apiWith([page([], { total_instances: 0 })], "https://market.test");
    await api.listContracts();
    await api.listContracts();
    expect(clock.passed()).toBe(1000);
  });

  test("tells the market's time from its answers", async () => {
    const later = new Date(clock.now() + 3_600_000).toUTCString();
    const api = apiWith([{ status: 200, body: { id: 42 }, headers: { date: later } }]);
    expect(api.nowS()).toBe(clock.now() / 1000);
    await api.account();
    expect(api.nowS()).toBe(clock.now() / 1000 + 3600);
  });
});

describe("the account key", () => {
  const everywhere = (error: Error) =>
    `${error.message}${error.stack}${inspect(error, { depth: 9 })}${JSON.stringify(error)}`;

  test.each<[string, FakeAnswer]>([
    ["an error page that repeats the request", { status: 400, body: `<pre>authorization: Bearer ${KEY}</pre>` }],
    ["a message that repeats it", { status: 403, body: { error: "auth_error", msg: `unknown key ${KEY}` } }],
    ["a 200 with success false", ok({ success: false, msg: `key ${KEY} may not` })],
    ["an invalid header", new TypeError(`Headers.append: "Bearer ${KEY}" is an invalid header value.`)],
    ["a cause", Object.assign(new TypeError("fetch failed"), { cause: new Error(`sending Bearer ${KEY}`) })],
    ["an answer of another shape", ok({ id: KEY })],
    ["an answer that is no JSON", ok(`Bearer ${KEY}`)],
  ])("is in no error: %s", async (_what, answer) => {
    const error = await refusal(
      apiWith([answer])
        .setLabel(5, "x")
        .then(() => apiWith([answer]).account()),
    );
    expect(everywhere(error)).not.toContain(KEY);
  });

  test("is not shown by the client", () => {
    expect(inspect(apiWith([ok({})]), { depth: 9 })).not.toContain(KEY);
  });

  test("does not go along when a log is fetched from the market's store", async () => {
    const api = apiWith([ok({ success: true, result_url: "https://store.test/log" }), { status: 404 }, ok("the log")]);
    expect(await api.containerLog(5, 100)).toBe("the log");
    expect(sent.calls[0]).toMatchObject({ method: "PUT", body: { tail: "100" } });
    expect(sent.calls.slice(1).map(({ url, headers }) => [url, headers])).toEqual([
      ["https://store.test/log", {}],
      ["https://store.test/log", {}],
    ]);
  });
});

describe("searchOffers", () => {
  test("leaves out a row that cannot be read, as it is only an offer less", async () => {
    const rows = [{ id: 1, machine_id: 2 }, { id: "x" }, { id: 3, machine_id: 4 }];
    expect((await apiWith([ok({ offers: rows })]).searchOffers({})).map(({ id }) => id)).toEqual([1, 3]);
  });

  test("fails when no row can be read, and not when there is none", async () => {
    expect(await refusal(apiWith([ok({ offers: [{ id: "x" }] })]).searchOffers({}))).toMatchObject({
      kind: "unreadable",
    });
    expect(await apiWith([ok({ offers: [] })]).searchOffers({})).toEqual([]);
    expect(await refusal(apiWith([ok({})]).searchOffers({}))).toMatchObject({ kind: "unreadable" });
  });
});

describe("rent", () => {
  test("sends the whole order, and asks for no stopped contract", async () => {
    expect(await apiWith([ok({ success: true, new_contract: 7 })]).rent(3, order, noCheck)).toBe(7);
    expect(sent.calls[0]).toMatchObject({
      method: "PUT",
      url: "http://127.0.0.1:9/api/v0/asks/3/",
      body: {
        client_id: "me",
        image: "ubuntu",
        env: { A: "b" },
        price: 0.2,
        disk: 10,
        label: "l",
        onstart: "true",
        runtype: "ssh_direc ssh_proxy",
        cancel_unavail: true,
        target_state: "running",
      },
    });
  });

  test.each<[string, FakeAnswer, string]>([
    ["a broken connection", network(), "network"],
    ["a 502", { status: 502, body: "" }, "server"],
    ["a 500 that speaks of bids and prices", { status: 500, body: { msg: "updating the bid price failed" } }, "server"],
    ["an answer that is no JSON", ok("<html>"), "unreadable"],
    ["a yes without a contract", ok({ success: true }), "unreadable"],
    ["an empty object", ok({}), "unreadable"],
    ["a contract that is no number", ok({ success: true, new_contract: "7" }), "unreadable"],
  ])("is not repeated after %s, as a machine may have been rented", async (_what, answer, kind) => {
    expect(await refusal(apiWith([answer]).rent(3, order, noCheck))).toMatchObject({ kind });
    expect(sent.calls).toHaveLength(1);
  });

  test.each<[string, object, object]>([
    ["success false", { success: false, error: "no_such_ask" }, { kind: "offer-gone" }],
    ["an error without success", { error: "insufficient_credit" }, { kind: "no-credit" }],
    ["success false with a contract", { success: false, new_contract: 7 }, { kind: "refused", createdContractId: 7 }],
  ])("a 200 with %s is a no", async (_what, body, fields) => {
    expect(await refusal(apiWith([ok(body)]).rent(3, order, noCheck))).toMatchObject(fields);
  });

  test("asks before each try whether it is still wanted, also after minutes of 429", async () => {
    const busy: FakeAnswer = { status: 429, body: "API requests too frequent: endpoint threshold=4.5" };
    const at: number[] = [];
    const api = apiWith([busy, busy, busy, busy, busy]);
    const rented = api.rent(3, order, async () => {
      at.push(clock.passed());
      if (at.length === 3) throw new Error("the engine is gone");
    });
    expect((await refusal(rented)).message).toBe("the engine is gone");
    expect(at).toEqual([0, 4550, 9100]);
    expect(sent.calls).toHaveLength(2);
  });

  test("is given up after five minutes of 429", async () => {
    const error = await refusal(apiWith([{ status: 429, body: "" }]).rent(3, order, noCheck));
    expect(error.kind).toBe("rate");
    expect(clock.passed()).toBeGreaterThan(250_000);
    expect(clock.passed()).toBeLessThanOrEqual(300_000);
  });
});

describe("destroy", () => {
  test.each<[string, FakeAnswer, boolean]>([
    ["a yes", ok({ success: true }), true],
    ["no such contract", { status: 404, body: { success: false, error: "no_such_instance" } }, false],
    ["no such contract with a 200", ok({ success: false, error: "no_such_instance" }), false],
  ])("%s is success", async (_what, answer, isKnown) => {
    expect(await apiWith([answer]).destroy(5)).toBe(isKnown);
  });

  test.each<[string, FakeAnswer]>([
    ["an unknown key", { status: 404, body: { error: "auth_error", msg: "Invalid user key" } }],
    ["another account's contract", { status: 403, body: { error: "not_authorized" } }],
    ["a page that is not there", { status: 404, body: "<html>Not Found</html>" }],
  ])("%s is never taken for gone", async (_what, answer) => {
    expect((await refusal(apiWith([answer]).destroy(5))).kind).not.toBe("gone");
  });

  test("tries for two minutes", async () => {
    await refusal(apiWith([{ status: 503, body: "" }]).destroy(5));
    expect(clock.passed()).toBeGreaterThan(100_000);
  });
});

describe("listContracts", () => {
  test("reads every page", async () => {
    const api = apiWith([page([1, 2], { next_token: "abc", total_instances: 3 }), page([3], { total_instances: 3 })]);
    expect((await api.listContracts()).map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(sent.calls.map(({ url }) => new URL(url).searchParams.get("after_token"))).toEqual([null, "abc"]);
    expect(new URL(sent.calls[0]?.url ?? "").searchParams.get("limit")).toBe("25");
  });

  test("an account without contracts has none", async () => {
    expect(await apiWith([page([], { total_instances: 0, next_token: null })]).listContracts()).toEqual([]);
    expect(await apiWith([page([])]).listContracts()).toEqual([]);
  });

  test("a row that comes twice counts once", async () => {
    const api = apiWith([page([1, 2], { next_token: "abc" }), page([2, 3], { total_instances: 3 })]);
    expect(await api.listContracts()).toHaveLength(3);
  });

  test.each<[string, FakeAnswer[]]>([
    ["fewer rows than the market counts", [page([1], { total_instances: 2 })]],
    ["none of those that the market counts", [page([], { total_instances: 1 })]],
    [
      "a second page that is cut",
      [page([1], { next_token: "a", total_instances: 3 }), page([2], { total_instances: 3 })],
    ],
    ["null instead of rows", [ok({ success: true, instances: null })]],
    ["no rows at all", [ok({ success: true })]],
    ["one object instead of rows", [ok({ instances: { id: 1 } })]],
    ["a row without an id", [ok({ instances: [{ label: "x" }] })]],
    ["half an answer", [ok('{"instances":[{"id":1},{"i')]],
    ["an empty body", [ok("")]],
    ["a page in HTML", [ok("<html>")]],
    ["a retired endpoint", [{ status: 410, body: { error: "deprecated_endpoint" } }]],
    ["pages without an end", [page([1], { next_token: "a" })]],
  ])("%s is an error and never 'none'", async (_what, answers) => {
    const error = await refusal(apiWith(answers).listContracts());
    expect(["unreadable", "refused"]).toContain(error.kind);
  });

  test("says how many rows are missing", async () => {
    expect((await refusal(apiWith([page([1], { total_instances: 26 })]).listContracts())).message).toBe(
      "listing contracts: unreadable: the market counts 26 contracts but sent 1",
    );
  });
});

describe("the account", () => {
  test("falls back on the balance where there is no credit field", async () => {
    expect(await apiWith([ok({ id: 1, balance: 3 })]).account()).toEqual({ id: 1, creditUsd: 3 });
  });
});

describe("container logs", () => {
  test("without an address the market's words are the log", async () => {
    expect(await apiWith([ok({ success: true, msg: "no log yet" })]).containerLog(5, 10)).toBe("no log yet");
  });

  test("one that never appears is empty", async () => {
    expect(await apiWith([ok({ result_url: "https://store.test/log" }), { status: 404 }]).containerLog(5, 10)).toBe("");
    expect(sent.calls).toHaveLength(31);
  });
});

test.each([
  ["http://127.0.0.1:8080", true],
  ["http://localhost", true],
  ["http://[::1]:5", true],
  ["https://console.vast.ai", false],
  ["http://127.0.0.1.example.com", false],
  ["no address", false],
  ["", false],
])("%s is on this computer: %s", (url, expected) => {
  expect(isLoopback(url)).toBe(expected);
});
