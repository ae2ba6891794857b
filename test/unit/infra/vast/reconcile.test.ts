/** What becomes of a recorded machine: the decision as tables, the actions against a market in memory. */
import { beforeEach, describe, expect, test } from "vitest";
import type { StackConfig } from "../../../../infra/config.ts";
import { SshFailure } from "../../../../infra/ssh/failure.ts";
import { formatLabel, parseLabel } from "../../../../infra/vast/label.ts";
import { type MachineSpec, NotReadyError } from "../../../../infra/vast/lifecycle.ts";
import { decideRepair, type Recorded, reconcile, wantedBid } from "../../../../infra/vast/reconcile.ts";
import type { Situation } from "../../../../infra/vast/situation.ts";
import type { Contract } from "../../../../infra/vast/wire.ts";
import { type FakeMarket, fakeMarket } from "../../../helpers/fake-market.ts";
import { contractOf, machineSpec, rentalOf, requestOf } from "../../../helpers/vast-values.ts";

type Rental = Partial<StackConfig["rental"]>;

const keep = { act: "keep" };
const hold = { act: "hold", why: expect.stringMatching(/^onOutbid: (wait|raise)$/) };
const ONLY_COPY = { act: "hold", why: "onOutbid: auto, and without a checkpoint store its disk is the only copy" };
const raise = (bidPerHour: number) => ({ act: "raise", bidPerHour });
const replace = (why: string) => ({ act: "replace", why });
const TOO_DEAR = replace("outbid: the machine now costs $0.600/h");

describe("decideRepair", () => {
  test.each<[Situation, object]>([
    ["running", keep],
    ["pending", keep],
    ["stopped", { act: "start" }],
    ["gone", replace("gone")],
    ["failed", replace("failed")],
    ["offline", replace("host offline")],
  ])("%s", (situation, repair) => {
    expect(decideRepair(situation, contractOf(), rentalOf(), true)).toEqual(repair);
  });

  // The disk costs $0.01/h, so a cap of 0.51 leaves 0.50 for the bid.
  test.each<[string, number, Rental, object]>([
    ["affordable, auto: a little over the floor", 0.3, { onOutbid: "auto" }, raise(0.315)],
    ["affordable, raise", 0.3, { onOutbid: "raise" }, raise(0.315)],
    ["affordable, wait", 0.3, { onOutbid: "wait" }, hold],
    ["affordable, replace", 0.3, { onOutbid: "replace" }, replace("outbid: the machine now costs $0.300/h")],
    ["just under the cap: not over it", 0.49, { onOutbid: "auto" }, raise(0.5)],
    ["at the cap", 0.5, { onOutbid: "raise" }, raise(0.5)],
    ["too dear, auto", 0.6, { onOutbid: "auto" }, TOO_DEAR],
    ["too dear, raise", 0.6, { onOutbid: "raise" }, hold],
    ["too dear, wait", 0.6, { onOutbid: "wait" }, hold],
    [
      "a bid in figures is not raised: auto",
      0.3,
      { onOutbid: "auto", bid: 0.25 },
      replace("outbid: the machine now costs $0.300/h"),
    ],
    ["a bid in figures is not raised: raise", 0.3, { onOutbid: "raise", bid: 0.25 }, hold],
    [
      "a bid in figures that has been raised by hand in the configuration",
      0.3,
      { onOutbid: "raise", bid: 0.31 },
      raise(0.31),
    ],
  ])("outbid, %s", (_what, minBidPerHour, rental, repair) => {
    expect(
      decideRepair("outbid", contractOf({ minBidPerHour }), rentalOf({ maxPricePerHour: 0.51, ...rental }), true),
    ).toEqual(repair);
  });

  test.each<[string, number, Rental, object]>([
    ["affordable, auto", 0.3, { onOutbid: "auto" }, raise(0.315)],
    ["too dear, auto", 0.6, { onOutbid: "auto" }, ONLY_COPY],
    ["a bid in figures that is not raised, auto", 0.3, { onOutbid: "auto", bid: 0.25 }, ONLY_COPY],
    ["too dear, wait", 0.6, { onOutbid: "wait" }, hold],
    ["too dear, replace: said outright", 0.6, { onOutbid: "replace" }, TOO_DEAR],
  ])("outbid with the only copy on its disk, %s", (_what, minBidPerHour, rental, repair) => {
    expect(
      decideRepair("outbid", contractOf({ minBidPerHour }), rentalOf({ maxPricePerHour: 0.51, ...rental }), false),
    ).toEqual(repair);
  });

  test("never raises over the cap, whatever the floor", () => {
    for (let floor = 0.01; floor < 1; floor += 0.007) {
      const rental = rentalOf({ maxPricePerHour: 0.51 });
      const repair = decideRepair("outbid", contractOf({ minBidPerHour: floor }), rental, true);
      if (repair.act === "raise") {
        expect(repair.bidPerHour).toBeLessThanOrEqual(0.5);
        expect(repair.bidPerHour).toBeGreaterThanOrEqual(floor);
      }
    }
  });
});

describe("wantedBid", () => {
  test.each<[string, Partial<Contract>, Rental, number | null, number | undefined]>([
    ["on demand: none", { isBid: false }, {}, null, undefined],
    ["auto, as placed", { gpuPricePerHour: 0.22 }, {}, 0.22, undefined],
    ["auto, rounded by the market", { gpuPricePerHour: 0.2204 }, {}, 0.22, undefined],
    ["auto, changed by hand", { gpuPricePerHour: 0.9 }, {}, 0.22, 0.22],
    ["auto, nothing recorded", { gpuPricePerHour: 0.3 }, {}, null, undefined],
    ["in figures, as it is", { gpuPricePerHour: 0.3 }, { bid: 0.3 }, 0.3, undefined],
    ["in figures, changed in the configuration", { gpuPricePerHour: 0.3 }, { bid: 0.4 }, 0.3, 0.4],
    ["a cap that was lowered below the bid", { gpuPricePerHour: 0.3 }, { maxPricePerHour: 0.21 }, 0.3, 0.2],
  ])("%s", (_what, changes, rental, recorded, wanted) => {
    const bid = wantedBid(contractOf(changes), rentalOf(rental), recorded);
    if (wanted === undefined) expect(bid).toBeUndefined();
    else expect(bid).toBeCloseTo(wanted, 6);
  });
});

describe("reconcile", () => {
  const spec = machineSpec;
  const label = formatLabel({ scope: "scope1", name: "main", requestHash: "hash1", nonce: "n0" });
  const STOPPED = { intendedStatus: "stopped", curState: "stopped", actualStatus: "exited" };
  const OUTBID = { ...STOPPED, minBidPerHour: 0.3 };

  let market: FakeMarket;
  let asked: number[];
  beforeEach(() => {
    market = fakeMarket();
    asked = [];
  });

  const ids = () => market.alive().map(({ id }) => id);
  const only = () => {
    expect(market.alive()).toHaveLength(1);
    return market.alive()[0] as Contract;
  };

  function run(
    id: number | null,
    rental: Rental = {},
    recorded: Partial<Recorded> = {},
    changed: Partial<MachineSpec> = {},
    hasStore = true,
  ) {
    const full = rentalOf(rental);
    const wanted = {
      spec: { ...spec, request: { ...spec.request, rental: full }, ...changed },
      rental: full,
      hasStore,
    };
    const state: Recorded = { contractId: id, bidPerHour: 0.22, observed: "running", hostKeys: ["key"], ...recorded };
    return reconcile(market.deps, wanted, state, async (contract) => void asked.push(contract.id));
  }

  async function refusal(promise: Promise<unknown>): Promise<Error> {
    return promise.then(
      () => {
        throw new Error("it worked");
      },
      (error: Error) => error,
    );
  }

  test("leaves a running machine alone", async () => {
    const { id } = market.add({ label });
    expect((await run(id)).contract.id).toBe(id);
    expect(market.journal).toEqual([`key ${id}`]);
  });

  test("starts a stopped machine", async () => {
    const { id } = market.add({ label, ...STOPPED });
    expect((await run(id)).contract.id).toBe(id);
    expect(market.journal).toContain(`running ${id}`);
  });

  test("raises the bid of an outbid machine and starts it", async () => {
    const { id } = market.add({ label, ...OUTBID });
    expect((await run(id)).contract.id).toBe(id);
    expect(market.journal.slice(0, 2)).toEqual([`bid ${id} 0.315`, `running ${id}`]);
  });

  test("holds an outbid machine as configured, and says what that costs", async () => {
    const { id } = market.add({ label, ...OUTBID });
    const error = await refusal(run(id, { onOutbid: "wait" }));
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error.message).toBe(
      "outbid: it takes $0.300/h now. As configured (onOutbid: wait) nothing is done; its disk bills $0.0100/h",
    );
    expect(market.journal).toEqual([]);
  });

  test("replaces an outbid machine that is too dear", async () => {
    const { id } = market.add({ label, ...OUTBID, minBidPerHour: 3 });
    const { contract } = await run(id);
    expect(contract.id).not.toBe(id);
    expect(ids()).toEqual([contract.id]);
    expect(market.mostAtOnce()).toBe(1);
  });

  test("keeps an outbid machine whose new bid loses as well: the next up decides again", async () => {
    const { id } = market.add({ label, ...OUTBID });
    market.api.setState = async () => {}; // somebody bids more at once
    const error = await refusal(run(id));
    expect(error).toBeInstanceOf(NotReadyError);
    expect(ids()).toEqual([id]);
  });

  test("restores a label and a bid that were changed by hand, and rents nothing meanwhile", async () => {
    const { id } = market.add({ label: "mine now", gpuPricePerHour: 0.9 });
    expect((await run(id)).contract.id).toBe(id);
    expect(market.journal).toEqual([`label ${id}`, `bid ${id} 0.22`, `key ${id}`]);
    expect(parseLabel(only().label)).toMatchObject({ scope: "scope1", name: "main", requestHash: "hash1" });
  });

  test("a label that the market's list shows late leads to no second machine", async () => {
    const { id } = market.add({ label: "mine now" });
    market.api.setLabel = async () => {};
    expect((await run(id)).contract.id).toBe(id);
    expect(ids()).toEqual([id]);
  });

  test("rents a new machine when the recorded one is gone, and when none is recorded", async () => {
    const { contract } = await run(4711);
    expect(ids()).toEqual([contract.id]);
    expect((await run(null)).contract.id).toBe(contract.id);
  });

  test.each([
    ["another request", { requestHash: "hash2" }],
    ["another GPU", { request: requestOf({ gpu: { exclude: { machines: [101], hosts: [] } } }) }],
  ])("%s: asks for a last checkpoint, ends the machine, then rents", async (_what, changed) => {
    const { id } = market.add({ label, machineId: 101 });
    const { contract } = await run(id, {}, {}, changed);
    expect(asked).toEqual([id]);
    expect(ids()).toEqual([contract.id]);
    expect(market.journal.slice(0, 2)).toEqual([`destroy ${id}`, expect.stringMatching(/^rent/)]);
  });

  test.each([
    ["running", {}, "running"],
    ["outbid", OUTBID, "outbid (its disk bills)"],
    ["offline", { actualStatus: "offline" }, "host offline"],
  ])("a %s machine stays when nothing could replace it", async (_what, changes, situation) => {
    const { id } = market.add({ label, ...changes });
    market.offers = [];
    const error = await refusal(run(id, {}, {}, { requestHash: "hash2" }));
    expect(error.message).toBe(`VL_NO_OFFER: nothing on the market could replace main
  why: contract ${id} was left as it is: ${situation}
  do:  see \`npx vastlane offers\`, or undo the change of the configuration`);
    expect(ids()).toEqual([id]);
    expect(asked).toEqual([]);
  });

  test("replaces failed and offline machines", async () => {
    for (const changes of [{ actualStatus: "offline" }, { actualStatus: "exited" }]) {
      market = fakeMarket();
      const { id } = market.add({ label, ...changes });
      const { contract } = await run(id);
      expect(ids()).toEqual([contract.id]);
      expect(contract.id).not.toBe(id);
    }
  });

  test("calls a queued start off and replaces the machine when its GPUs are taken", async () => {
    const { id } = market.add({ label, ...STOPPED });
    market.startFault = "busy";
    const { contract } = await run(id);
    expect(market.journal.slice(0, 3)).toEqual([`running ${id}`, `stopped ${id}`, `destroy ${id}`]);
    expect(ids()).toEqual([contract.id]);
  });

  test("calls a queued start off and keeps the disk when told to wait", async () => {
    const { id } = market.add({ label, ...STOPPED });
    market.startFault = "busy";
    const error = await refusal(run(id, { onOutbid: "wait" }));
    expect(error.message).toBe(
      "its GPUs are rented by somebody else. As configured (onOutbid: wait) nothing is done; its disk bills $0.0100/h",
    );
    expect(market.journal).toEqual([`running ${id}`, `stopped ${id}`]);
    expect(ids()).toEqual([id]);
  });

  test.each<[string, Rental, Partial<Recorded>, boolean]>([
    ["auto", {}, {}, true],
    ["replace: said outright", { onOutbid: "replace" }, {}, false],
    ["auto, on a machine that was never ready", {}, { hostKeys: [] }, false],
  ])("GPUs taken, no store: the machine with the only copy is kept, %s", async (_what, rental, recorded, isKept) => {
    const { id } = market.add({ label, ...STOPPED });
    market.startFault = "busy";
    const result = await run(id, rental, recorded, {}, false).catch((error: Error) => error);
    expect(ids().includes(id)).toBe(isKept);
    if (isKept)
      expect((result as Error).message).toBe(
        "its GPUs are rented by somebody else. As configured (onOutbid: auto, and without a checkpoint store its disk is the only copy) nothing is done; its disk bills $0.0100/h",
      );
  });

  test("a start that the market refuses for another reason ends nothing", async () => {
    const { id } = market.add({ label, ...STOPPED });
    market.startFault = "no-credit";
    expect(await refusal(run(id))).toMatchObject({ code: "VL_NO_CREDIT" });
    expect(ids()).toEqual([id]);
  });

  test("a cancel during the start keeps the machine in the state", async () => {
    const { id } = market.add({ label, ...STOPPED });
    market.api.setState = async () => market.abort.abort(new Error("cancelled"));
    const error = await refusal(run(id));
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error.message).toBe("cancelled while the machine was being started");
    expect(ids()).toEqual([id]);
  });

  test("an unreadable list changes nothing", async () => {
    const { id } = market.add({ label, ...STOPPED });
    market.listFaults = ["unreadable"];
    expect(await refusal(run(id))).toMatchObject({ code: "VL_MARKET_UNREADABLE" });
    expect(market.journal).toEqual([]);
    expect(ids()).toEqual([id]);
  });

  test("ends strays under the same name and keeps the recorded machine", async () => {
    market.add({ label: label.replace("n0", "n1") });
    const { id } = market.add({ label });
    await run(id);
    expect(ids()).toEqual([id]);
  });

  test.each<[string, Partial<Recorded>, boolean]>([
    ["silent for the first time", {}, true],
    ["silent the second time in a row", { observed: "not-ready" }, false],
    ["never ready", { hostKeys: [] }, false],
  ])("a machine with SSH that is %s: kept %#", async (_what, recorded, isKept) => {
    const { id } = market.add({ label });
    market.ssh = async (contract) => {
      if (contract.id === id) throw new SshFailure("timeout", { what: "no SSH connection" });
      return ["key"];
    };
    await run(id, {}, recorded).catch(() => undefined);
    expect(ids().includes(id)).toBe(isKept);
    expect(market.alive()).toHaveLength(1);
  });
});
