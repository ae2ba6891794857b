import { describe, expect, test } from "vitest";
import { type Cause, decideEnding, type Ending, endMachine, selfAccess } from "../../../../runtime/agent/ending.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { type FakeAnswer, fakeFetch } from "../../../helpers/fake-fetch.ts";

const CAUSES: Cause[] = ["done", "failed", "over-budget", "idle"];
const both = [true, false];
const all = CAUSES.flatMap((cause) =>
  both.flatMap((hasStore) =>
    both.flatMap((isSaved) => (["destroy", "stop"] as const).map((wanted) => ({ cause, hasStore, isSaved, wanted }))),
  ),
);

describe("how a machine ends", () => {
  test.each(all.filter(({ hasStore, isSaved }) => hasStore && isSaved))(
    "$cause, and all is in the store: as configured ($wanted)",
    (circumstances) => {
      expect(decideEnding(circumstances)).toBe(circumstances.wanted);
    },
  );

  test.each(all.filter(({ hasStore, isSaved }) => !(hasStore && isSaved)))(
    "$cause, store $hasStore, saved $isSaved, wanted $wanted: never destroyed, and stopped only when idle",
    (circumstances) => {
      const expected: Ending = circumstances.cause === "idle" ? "stop" : "stay";
      expect(decideEnding(circumstances)).toBe(expected);
    },
  );
});

describe("the machine's own key", () => {
  const container = { CONTAINER_API_KEY: "k", CONTAINER_ID: "42", VAST_URL: "http://market:1/" };
  test.each([
    ["as the market gives it", container, { url: "http://market:1", contractId: "42", key: "k" }],
    [
      "with the label for a number",
      { ...container, CONTAINER_ID: "", VAST_CONTAINERLABEL: "C.42" },
      { contractId: "42" },
    ],
    ["at the real market by default", { ...container, VAST_URL: undefined }, { url: "https://console.vast.ai" }],
  ])("is found %s", (_, env, found) => {
    expect(selfAccess(env)).toMatchObject(found);
  });

  test.each([
    ["a laptop", {}],
    ["a machine without a key", { CONTAINER_ID: "42" }],
    ["a machine without a number", { CONTAINER_API_KEY: "k" }],
    ["a number that is a path", { CONTAINER_API_KEY: "k", CONTAINER_ID: "42/../43" }],
  ])("is not found on %s", (_, env) => {
    expect(selfAccess(env)).toBeUndefined();
  });
});

/** What came of it, the calls, and the seconds that were waited. */
async function end(ending: "destroy" | "stop", answers: FakeAnswer[], signal = new AbortController().signal) {
  const market = fakeFetch(...answers);
  const clock = fakeClock();
  const log: string[] = [];
  const self = { url: "http://market", contractId: "42", key: "machine-key" };
  const world = { clock, log: (line: string) => log.push(line), signal, fetch: market.fetch };
  const isEnded = await endMachine(ending, self, world);
  return { isEnded, calls: market.calls, log, seconds: clock.passed() / 1000 };
}

describe("ending it", () => {
  test("asks the market to destroy exactly this machine, with this machine's key", async () => {
    const { isEnded, calls } = await end("destroy", [{ status: 200, body: { success: true } }]);
    expect(isEnded).toBe(true);
    expect(calls).toEqual([
      {
        method: "DELETE",
        url: "http://market/api/v0/instances/42/",
        headers: { authorization: "Bearer machine-key" },
        body: undefined,
        redirect: "error",
      },
    ]);
  });

  test("or to stop it", async () => {
    const { calls } = await end("stop", [{ status: 200, body: { success: true } }]);
    expect(calls).toMatchObject([{ method: "PUT", body: { state: "stopped" } }]);
  });

  test("is tried again, with longer pauses, while the market is busy, broken, away or says no with a yes", async () => {
    const { isEnded, calls, log, seconds } = await end("destroy", [
      { status: 429, body: "API requests too frequent" },
      { status: 500 },
      new Error("connect ECONNREFUSED"),
      { status: 200, body: { success: false, msg: "busy" } },
      { status: 200, body: {} },
    ]);
    expect(isEnded).toBe(true);
    expect(calls).toHaveLength(5);
    expect(seconds).toBe(2 + 4 + 8 + 16);
    expect(log[0]).toBe(
      "cannot destroy this machine yet: the market answered 429 API requests too frequent; next try in 2 s",
    );
  });

  test("a machine that is gone already has ended", async () => {
    expect((await end("destroy", [{ status: 404, body: { error: "no_such_instance" } }])).isEnded).toBe(true);
  });

  test.each([401, 403])("is given up when the market refuses the key with %d, and that is said", async (status) => {
    const { isEnded, calls, log } = await end("destroy", [{ status, body: "no" }]);
    expect(isEnded).toBe(false);
    expect(calls).toHaveLength(1);
    expect(log).toEqual([
      `cannot destroy this machine: the market answered ${status} no; the watchdog ends it at its limit`,
    ]);
  });

  test("asks nothing more when the agent was told to stop meanwhile", async () => {
    expect((await end("stop", [{ status: 200 }], AbortSignal.abort())).calls).toEqual([]);
  });
});
