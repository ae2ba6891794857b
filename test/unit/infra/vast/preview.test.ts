import { beforeEach, expect, test } from "vitest";
import { parseConfig } from "../../../../infra/config.ts";
import { formatLabel, requestHashOf } from "../../../../infra/vast/label.ts";
import { previewMachines, requestOf } from "../../../../infra/vast/preview.ts";
import { type FakeMarket, fakeMarket } from "../../../helpers/fake-market.ts";

const config = parseConfig({});
const { image, diskGB, env } = config.machine;
const hash = requestHashOf({ image, diskGB, env, type: config.rental.type });
const label = (changes = {}) => formatLabel({ scope: "s1", name: "main", requestHash: hash, nonce: "n", ...changes });

let market: FakeMarket;
beforeEach(() => {
  market = fakeMarket();
});

const preview = (names = ["main"], scope: string | undefined = "s1", from = config) =>
  previewMachines(market.deps, from, names, scope);

test("the request is the part of the configuration that chooses a machine", () => {
  expect(requestOf(config)).toEqual({ gpu: config.gpu, rental: config.rental, diskGB: 40, minHours: 24 });
});

test("before the first up, says what would be rented at which price", async () => {
  expect(await preview(["main"], undefined)).toEqual([
    "main: would rent 1x RTX 4090 in Oslo, NO at $0.220/h (bid $0.210 + disk; best of 10 that fit)",
  ]);
  expect(market.journal).toEqual([]);
});

test("on demand says so", async () => {
  const fixed = parseConfig({ rental: { type: "on-demand" } });
  expect(await preview(["main"], undefined, fixed)).toEqual([
    "main: would rent 1x RTX 4090 in Oslo, NO at $0.420/h (on demand; best of 10 that fit)",
  ]);
});

test("several machines are shown with different offers", async () => {
  const lines = await preview(["main", "node1"], undefined);
  expect(lines.map((line) => /\$[\d.]+\/h/.exec(line)?.[0])).toEqual(["$0.220/h", "$0.230/h"]);
});

test("a machine that is there is kept, with its price and what it does", async () => {
  market.add({ id: 5001, label: label() });
  market.add({ id: 5002, label: label({ name: "node1" }), intendedStatus: "stopped", minBidPerHour: 9 });
  market.offers = [];
  expect(await preview(["main", "node1"])).toEqual([
    "main: contract 5001, 1x RTX 4090, running, $0.230/h",
    "node1: contract 5002, 1x RTX 4090, outbid (its disk bills), $0.230/h; left as it is (onOutbid: auto, and without a checkpoint store its disk is the only copy)",
  ]);
});

test.each([
  ["another request", { label: label({ requestHash: "old" }) }, "running"],
  ["a machine that no longer fits", { label: label(), isVerified: false }, "running"],
  ["a machine that has failed", { label: label(), actualStatus: "exited" }, "failed"],
])("%s: shown as ending, with what comes instead", async (_what, changes, situation) => {
  market.add({ id: 5001, ...changes });
  expect(await preview()).toEqual([
    `main: contract 5001, 1x RTX 4090, ${situation}, $0.230/h; ENDS with all on its disk, as it is not what is asked for`,
    expect.stringMatching(/^main: would rent/),
  ]);
});

test("contracts of other scopes are nobody's here", async () => {
  market.add({ label: label({ scope: "s2" }) });
  expect(await preview()).toEqual([expect.stringMatching(/^main: would rent/)]);
});

test("fails when nothing fits, or not enough for all", async () => {
  market.offers = market.offers.slice(0, 1);
  await expect(preview(["main", "node1"])).rejects.toThrow("VL_NO_OFFER: only 1 of 1 offers fits, for 2 machines");
  market.offers = [];
  await expect(preview()).rejects.toThrow("VL_NO_OFFER: the market shows no offers at all");
});

test("an unreadable list is no empty one", async () => {
  market.listFaults = ["unreadable"];
  await expect(preview()).rejects.toThrow("VL_MARKET_UNREADABLE");
});

const STORE = { store: "s3", s3_bucket: "my-bucket" };
const RAISE = "; would be started with its bid raised to $0.315/h, or, if its GPUs are taken, ";

test.each<[string, object, object, object, string]>([
  ["stopped", { minBidPerHour: 0.1 }, {}, {}, "; would be started, or, if its GPUs are taken, left as it is"],
  ["outbid", { minBidPerHour: 0.3 }, {}, {}, `${RAISE}left as it is`],
  ["outbid", { minBidPerHour: 0.3 }, {}, STORE, `${RAISE}replaced, and what is not in the store is lost`],
  ["outbid", { minBidPerHour: 0.3 }, { onOutbid: "raise" }, {}, `${RAISE}replaced, and all on its disk is lost`],
  ["outbid", { minBidPerHour: 0.3 }, { onOutbid: "wait" }, {}, "; left as it is (onOutbid: wait)"],
  [
    "outbid",
    { minBidPerHour: 3 },
    {},
    {},
    "; left as it is (onOutbid: auto, and without a checkpoint store its disk is the only copy)",
  ],
  ["outbid", { minBidPerHour: 3 }, {}, STORE, "; would be REPLACED, what is not in the store is lost"],
])("a machine that is %s: says what up would do to it", async (_situation, changes, rental, checkpoint, text) => {
  market.add({ id: 5001, label: label(), intendedStatus: "stopped", ...changes });
  const [line = ""] = await preview(["main"], "s1", parseConfig({ rental, checkpoint }));
  expect(line.slice(line.indexOf(";"))).toBe(text);
});

test("a machine that nothing asks for any more, as its run has ended, is told to end", async () => {
  market.add({ id: 5001, label: label() });
  expect(await preview([])).toEqual([
    "main: contract 5001, 1x RTX 4090, running, $0.230/h; ENDS after a last checkpoint, as nothing asks for it",
  ]);
});
