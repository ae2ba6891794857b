/** Rent, adopt, wait and destroy against a market in memory: what is left billing after every way it can go. */
import { beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../../../common/errors.ts";
import { SshFailure } from "../../../../infra/ssh/failure.ts";
import { formatLabel, parseLabel } from "../../../../infra/vast/label.ts";
import {
  allOffers,
  type CrashPoint,
  chooseAdoption,
  endContracts,
  findOffers,
  isStillAskedFor,
  listOurs,
  NotReadyError,
  obtain,
  sweep,
} from "../../../../infra/vast/lifecycle.ts";
import { MarketError } from "../../../../infra/vast/market-error.ts";
import { type FakeMarket, fakeMarket, type RentFault } from "../../../helpers/fake-market.ts";
import { contractOf, machineSpec, offerOf, requestOf } from "../../../helpers/vast-values.ts";

const SCOPE = "scope1";
const spec = machineSpec;
const labelOf = (changes: Partial<Parameters<typeof formatLabel>[0]> = {}) =>
  formatLabel({ scope: SCOPE, name: "main", requestHash: "hash1", nonce: "n0", ...changes });

let market: FakeMarket;
beforeEach(() => {
  market = fakeMarket();
});

async function refusal(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error("it worked");
    },
    (error: Error) => error,
  );
}

const ids = () => market.alive().map(({ id }) => id);
const rents = () => market.journal.filter((line) => line.startsWith("rent"));

describe("obtain", () => {
  test("rents the best offer, attaches the key and makes the first contact", async () => {
    const { contract, hostKeys } = await obtain(market.deps, spec);
    expect(hostKeys).toEqual([`ssh-ed25519 KEY${contract.id}`]);
    expect(market.journal).toEqual(["rent 1", `key ${contract.id}`]);
    expect(parseLabel(contract.label)).toMatchObject({ scope: SCOPE, name: "main", requestHash: "hash1" });
    expect(ids()).toEqual([contract.id]);
    expect(market.intents.size).toBe(0);
    expect(market.points).toEqual([
      "rent-intended",
      "rent-sent",
      "rent-answered",
      "rent-recorded",
      "running",
      "key-attached",
      "ready",
    ]);
  });

  test("goes on when the market does not take the key, as SSH will tell", async () => {
    market.api.attachKey = async () => {
      throw new MarketError("server", { act: "attaching the key" });
    };
    expect(await obtain(market.deps, spec)).toMatchObject({ hostKeys: [expect.any(String)] });
    expect(market.log.join()).toContain("the market did not take the SSH key");
  });

  const ONE_MORE: [RentFault, string][] = [
    ["taken", "an offer that was taken meanwhile"],
    ["refused", "an offer that the market refuses"],
    ["error-with-contract", "a refusal that leaves a contract behind"],
    ["request-lost", "a rent that never arrived"],
    ["never-shown", "a contract that no list ever shows"],
    ["start-error", "a container that cannot start"],
    ["outbid", "a bid that loses before the machine runs"],
    ["offline", "a host that goes away"],
    ["vanishes", "a contract that somebody else ends"],
    ["stuck", "loading that makes no progress"],
  ];
  test.each(ONE_MORE)("%s: takes the next offer after %s, and leaves one machine", async (fault) => {
    market.rentFaults = [fault];
    const { contract } = await obtain(market.deps, spec);
    expect(contract.machineId).toBe(102);
    expect(ids()).toEqual([contract.id]);
    expect(market.mostAtOnce()).toBe(1);
    expect(market.intents.size).toBe(0);
    expect(rents()).toEqual(["rent 1", "rent 2"]);
  });

  test.each<RentFault>(["reply-lost", "server-error", "late"])(
    "%s: finds the machine by its label and rents no second one",
    async (fault) => {
      market.rentFaults = [fault];
      market.lagMs = 3000;
      const { contract } = await obtain(market.deps, spec);
      expect(rents()).toEqual(["rent 1"]);
      expect(ids()).toEqual([contract.id]);
      expect(market.intents.size).toBe(0);
    },
  );

  test("waits while a new contract is not listed yet", async () => {
    market.lagMs = 9000;
    const { contract } = await obtain(market.deps, spec);
    expect(rents()).toHaveLength(1);
    expect(ids()).toEqual([contract.id]);
  });

  test("ends what a refusal left behind although the market does not know it yet", async () => {
    market.rentFaults = ["error-with-contract"];
    market.lagMs = 5000;
    const { contract } = await obtain(market.deps, spec);
    await market.clock.sleep(20_000);
    expect(ids()).toEqual([contract.id]);
    expect(market.mostAtOnce()).toBe(1);
  });

  test.each([["start-error"], ["offline"], ["stuck"]] as [RentFault][])(
    "%s: remembers the machine as bad",
    async (fault) => {
      market.rentFaults = [fault];
      await obtain(market.deps, spec);
      expect([...market.bad.keys()]).toEqual([101]);
    },
  );

  test.each([["outbid"], ["vanishes"]] as [RentFault][])(
    "%s: is not the machine's fault, but this run goes elsewhere",
    async (fault) => {
      market.rentFaults = [fault];
      expect((await obtain(market.deps, spec)).contract.machineId).toBe(102);
      expect(market.bad.size).toBe(0);
    },
  );

  test("never takes a machine that is known as bad", async () => {
    market.bad.set(101, "broken");
    expect((await obtain(market.deps, spec)).contract.machineId).toBe(102);
  });

  test("waits for an image that still moves, past the time for one that does not", async () => {
    market.rentFaults = ["moving"];
    const { contract } = await obtain(market.deps, spec);
    expect(contract.machineId).toBe(101);
    expect(market.clock.passed()).toBeGreaterThan(3_600_000);
  });

  test("messages that repeat themselves are no progress", async () => {
    market.loadingMs = Number.POSITIVE_INFINITY;
    const list = market.api.listContracts;
    let turn = 0;
    market.api.listContracts = async () =>
      (await list()).map((it) =>
        it.machineId === 101 ? { ...it, statusMessage: turn++ % 2 ? "retrying" : "pulling" } : it,
      );
    market.clock.after(60_000, () => {
      market.loadingMs = 0; // the next machine is a good one
    });
    expect((await obtain(market.deps, spec)).contract.machineId).toBe(102);
    expect(market.bad.get(101)).toMatch(/^no progress in loading for 10 min \((pulling|retrying)\)$/);
  });

  test("gives up after three machines, with all of them ended", async () => {
    market.rentFaults = ["start-error", "offline", "stuck", "start-error"];
    const error = await refusal(obtain(market.deps, spec));
    expect(error.message).toBe(`VL_NOT_READY: 3 machines in a row did not become usable; all were ended, nothing bills
  why: 
           contract 5001 on machine 101: failed: Error response from daemon: no
           contract 5002 on machine 102: host offline: success, running
           contract 5003 on machine 103: no progress in loading for 10 min (pulling)
  do:  run the command again, or ask for more reliable machines (vastlane:gpu.minReliability, verified, minDownMbps)`);
    expect(ids()).toEqual([]);
    expect(rents()).toHaveLength(3);
  });

  test("gives up after eight lost offers, with the market's words", async () => {
    market.rentFaults = Array(8).fill("refused");
    const error = await refusal(obtain(market.deps, spec));
    expect(error.message).toBe(`VL_NO_OFFER: 8 offers in a row could not be rented; nothing bills
  why: 
           renting offer: refused (400): the image has no such tag
  do:  run the command again if others were quicker; else correct what the market names, or widen vastlane:gpu`);
    expect(ids()).toEqual([]);
    expect(market.intents.size).toBe(0);
  });

  test("tries no further offer when the account has no credit", async () => {
    market.rentFaults = ["no-credit"];
    const error = await refusal(obtain(market.deps, spec));
    expect(error).toMatchObject({ code: "VL_NO_CREDIT" });
    expect(rents()).toHaveLength(1);
    expect(market.intents.size).toBe(0);
  });

  test("says what rules the offers out when none fits", async () => {
    market.offers = [offerOf({ gpuName: "RTX 3090" })];
    const error = await refusal(obtain(market.deps, { ...spec, request: requestOf({ gpu: { names: ["RTX 4090"] } }) }));
    expect(error.message).toContain("vastlane:gpu.names (RTX 4090) rules out 1");
    expect(market.journal).toEqual([]);
  });

  test("ends a machine of another kind than was asked for, and says so", async () => {
    market.rentFaults = ["wrong-kind"];
    const error = await refusal(obtain(market.deps, spec));
    expect(error.message).toBe(
      `VL_MARKET_UNREADABLE: the market rented contract 5001 on demand, which was not asked for; it was ended
  do:  report this: the market's API has changed`,
    );
    expect(ids()).toEqual([]);
  });

  test("parallel machines choose different offers, and no offer twice", async () => {
    const names = ["main", "node1", "node2", "node3", "node4"];
    // The search lags: what is taken is still shown.
    market.api.searchOffers = async () => market.offers;
    const machines = await Promise.all(names.map((name) => obtain(market.deps, { ...spec, name })));
    expect(new Set(machines.map(({ contract }) => contract.machineId)).size).toBe(5);
    expect(new Set(rents()).size).toBe(5);
    expect(market.mostAtOnce()).toBe(1);
  });

  test("an on-demand request rents without a bid", async () => {
    await obtain(market.deps, { ...spec, request: requestOf({ rental: { type: "on-demand" } }) });
    expect(market.alive()).toMatchObject([{ isBid: false, gpuPricePerHour: market.offers[0]?.gpuPricePerHour }]);
  });
});

describe("adoption", () => {
  test("takes our running contract instead of renting", async () => {
    const { id } = market.add({ label: labelOf() });
    expect((await obtain(market.deps, spec)).contract.id).toBe(id);
    expect(rents()).toEqual([]);
  });

  test("keeps the lowest id of several and ends the others", async () => {
    const [first, second, third] = [1, 2, 3].map((n) => market.add({ label: labelOf({ nonce: `n${n}` }) }).id);
    expect((await obtain(market.deps, spec)).contract.id).toBe(first);
    expect(ids()).toEqual([first]);
    expect(market.journal).toEqual(expect.arrayContaining([`destroy ${second}`, `destroy ${third}`]));
  });

  test("one that turns up while ours is rented is kept, as it is older: both sides decide alike", async () => {
    market.atPoint["rent-answered"] = () => market.add({ id: 4000, label: labelOf({ nonce: "other" }) });
    expect((await obtain(market.deps, spec)).contract.id).toBe(4000);
    expect(ids()).toEqual([4000]);
  });

  test("keeps the machine that the state knows, whatever strays with lower ids turn up", async () => {
    const stray = market.add({ label: labelOf({ nonce: "late" }) }).id;
    const known = market.add({ label: labelOf({ nonce: "known" }) }).id;
    const { contract } = await obtain(market.deps, spec, { contractId: known, wasReady: true });
    expect(contract.id).toBe(known);
    expect(ids()).toEqual([known]);
    expect(market.journal).toContain(`destroy ${stray}`);
  });

  test("keeps the machine that the state knows also while its label is not restored yet", async () => {
    const known = market.add({ label: "mine now" }).id;
    expect((await obtain(market.deps, spec, { contractId: known, wasReady: true })).contract.id).toBe(known);
    expect(rents()).toEqual([]);
  });

  test("ends a contract of another request and rents anew", async () => {
    const old = market.add({ label: labelOf({ requestHash: "hash0" }) }).id;
    const { contract } = await obtain(market.deps, spec);
    expect(contract.id).not.toBe(old);
    expect(ids()).toEqual([contract.id]);
    expect(market.mostAtOnce()).toBe(1);
  });

  test("never touches contracts of another scope, another name, or nobody", async () => {
    const others = [labelOf({ scope: "other" }), labelOf({ name: "node1" }), "by hand", null].map(
      (label) => market.add({ label }).id,
    );
    await obtain(market.deps, spec);
    expect(ids()).toEqual(expect.arrayContaining(others));
  });

  test("waits for the rent that a killed run sent, instead of renting beside it", async () => {
    const label = labelOf({ nonce: "lost" });
    market.intents.set(label, { label, offerId: 9, at: market.clock.now() - 1000 });
    market.clock.after(4000, () => market.add({ label }));
    const { contract } = await obtain(market.deps, spec);
    expect(contract.label).toBe(label);
    expect(rents()).toEqual([]);
    expect(market.intents.size).toBe(0);
  });

  test("rents after 15 s when the rent of a killed run never shows up", async () => {
    const label = labelOf({ nonce: "lost" });
    market.intents.set(label, { label, offerId: 9, at: market.clock.now() });
    await obtain(market.deps, spec);
    expect(rents()).toHaveLength(1);
    expect(market.clock.passed()).toBeGreaterThan(15_000);
    expect(market.intents.size).toBe(0);
  });

  test("does not wait for the rents of other machines, nor for old ones", async () => {
    const other = labelOf({ name: "node1", nonce: "lost" });
    const old = labelOf({ nonce: "old" });
    market.intents.set(other, { label: other, offerId: 9, at: market.clock.now() });
    market.intents.set(old, { label: old, offerId: 9, at: market.clock.now() - 60_000 });
    await obtain(market.deps, spec);
    expect(market.clock.passed()).toBeLessThan(10_000);
    expect([...market.intents.keys()]).toEqual([other]);
  });

  test.each([
    ["of the same request", {}, true],
    ["of another request", { label: labelOf({ requestHash: "hash0" }) }, false],
    ["on demand where a bid is asked for", { isBid: false }, false],
    ["with another GPU", { gpuName: "RTX 3090" }, false],
    ["on an excluded machine", { machineId: 666 }, false],
    ["that has failed", { actualStatus: "exited" }, false],
    ["whose host is offline", { actualStatus: "offline" }, false],
    ["that is outbid", { intendedStatus: "stopped", minBidPerHour: 9 }, true],
    ["that still loads", { actualStatus: "loading" }, true],
  ])("a contract %s: adopted %#", (_what, changes, isKept) => {
    const contract = contractOf({ label: labelOf(), ...changes });
    const request = requestOf({ gpu: { names: ["RTX 4090"], exclude: { machines: [666], hosts: [] } } });
    const { keep, end } = chooseAdoption([contract], { requestHash: "hash1", request });
    expect(keep).toBe(isKept ? contract : undefined);
    expect(end).toEqual(isKept ? [] : [contract]);
  });

  test("a label changed by hand speaks against a stranger's contract only", () => {
    const contract = contractOf({ id: 7, label: "mine now" });
    expect(isStillAskedFor(contract, spec)).toBe(false);
    expect(isStillAskedFor(contract, spec, 7)).toBe(true);
  });
});

describe("a machine that the state knows", () => {
  const known = (changes = {}) => market.add({ label: labelOf(), ...changes }).id;

  test("is kept when it is outbid or halted again, as its disk may hold work", async () => {
    const id = known({ intendedStatus: "stopped", curState: "stopped", actualStatus: "exited", minBidPerHour: 9 });
    const error = await refusal(obtain(market.deps, spec, { contractId: id, wasReady: true }));
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error.message).toBe("outbid (its disk bills): success, running");
    expect(ids()).toEqual([id]);
  });

  test.each([
    [true, "kept"],
    [false, "replaced"],
  ])("with silent SSH and once ready = %s, is %s", async (wasReady) => {
    const id = known();
    market.ssh = async (contract) => {
      if (contract.id === id) throw new SshFailure("refused", { what: "no SSH connection" });
      return ["key"];
    };
    const outcome = await obtain(market.deps, spec, { contractId: id, wasReady }).catch((error) => error);
    if (wasReady) expect(outcome).toBeInstanceOf(NotReadyError);
    expect(ids()).toEqual([wasReady ? id : expect.any(Number)]);
    expect(ids().includes(id)).toBe(wasReady);
  });

  test("is replaced when it is gone", async () => {
    const { contract } = await obtain(market.deps, spec, { contractId: 4711, wasReady: true });
    expect(ids()).toEqual([contract.id]);
  });
});

describe("SSH that does not work", () => {
  test.each(["refused", "timeout", "closed", "unreachable", "other"] as const)(
    "%s: is the machine's fault, and the next one is tried",
    async (reason) => {
      market.ssh = async ({ machineId }) => {
        if (machineId === 101) throw new SshFailure(reason, { what: "no SSH connection" });
        return ["key"];
      };
      expect((await obtain(market.deps, spec)).contract.machineId).toBe(102);
      expect(market.bad.get(101)).toBe("SSH does not answer: VL_SSH_FAILED: no SSH connection");
      expect(market.mostAtOnce()).toBe(1);
    },
  );

  test.each([
    ["a refused key", new SshFailure("permission-denied", { what: "no" })],
    ["a missing ssh program", new SshFailure("ssh-missing", { what: "no ssh" })],
    ["a full disk here", Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })],
  ])("%s: keeps the machine to be recorded, as another one would fail as well", async (_what, failure) => {
    market.ssh = () => Promise.reject(failure);
    const error = await refusal(obtain(market.deps, spec));
    expect(error).toBeInstanceOf(NotReadyError);
    expect((error as NotReadyError).contract.id).toBe(5001);
    expect(ids()).toEqual([5001]);
    expect(market.bad.size).toBe(0);
  });
});

describe("an operation that is no longer wanted", () => {
  const cancelAt = (point: CrashPoint) => {
    market.atPoint[point] = () => market.abort.abort(new Error("cancelled"));
  };
  const orphanAt = (point: CrashPoint) => {
    market.atPoint[point] = () => {
      market.isOrphaned = true;
      market.abort.abort(new Error("the Pulumi engine is gone"));
    };
  };

  test.each([["cancelled", cancelAt] as const, ["orphaned", orphanAt] as const])(
    "%s before the rent is sent: nothing is sent",
    async (_how, stop) => {
      stop("rent-intended");
      expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_CANCELLED" });
      expect(rents()).toEqual([]);
      expect(market.intents.size).toBe(0);
    },
  );

  test.each<CrashPoint>(["rent-sent", "rent-answered", "rent-recorded"])(
    "cancelled at %s: the contract is kept to be recorded",
    async (point) => {
      cancelAt(point);
      const error = await refusal(obtain(market.deps, spec));
      expect(error).toBeInstanceOf(NotReadyError);
      expect((error as NotReadyError).contract.id).toBe(5001);
      expect(error.message).toBe(
        "cancelled while the machine was loading; it is kept in the state and bills until `destroy` or the next `up`",
      );
      expect(ids()).toEqual([5001]);
      expect(market.intents.size).toBe(0);
    },
  );

  test.each<[CrashPoint, RentFault | undefined]>([
    ["rent-sent", undefined],
    ["rent-sent", "reply-lost"],
    ["rent-answered", undefined],
    ["rent-answered", "server-error"],
    ["rent-recorded", undefined],
  ])("orphaned at %s (rent: %s): what was rented is ended", async (point, fault) => {
    if (fault) market.rentFaults = [fault];
    market.lagMs = 2000;
    orphanAt(point);
    expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_CANCELLED" });
    expect(market.all).toHaveLength(1);
    expect(ids()).toEqual([]);
    expect(market.intents.size).toBe(0);
  });

  test("the engine that dies while a rent waits for its turn gets no machine", async () => {
    const rent = market.api.rent;
    market.api.rent = async (...args) => {
      await market.clock.sleep(120_000); // the market's pace
      return rent(...args);
    };
    market.clock.after(60_000, () => {
      market.isOrphaned = true;
    });
    expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_CANCELLED" });
    expect(market.all).toEqual([]);
  });

  test("an orphan says what it ended", async () => {
    orphanAt("rent-answered");
    expect((await refusal(obtain(market.deps, spec))).message).toBe(`VL_CANCELLED: the operation was cancelled
  why: the Pulumi engine is gone; what was just rented has been ended
  do:  run the command again`);
    market = fakeMarket();
    orphanAt("rent-recorded");
    expect((await refusal(obtain(market.deps, spec))).message).toBe(`VL_CANCELLED: the operation was cancelled
  why: the Pulumi engine is gone; the machine it was waiting for has been ended
  do:  run the command again`);
  });

  test("a cancel during the first contact keeps the machine", async () => {
    market.ssh = async () => {
      market.abort.abort(new Error("cancelled"));
      throw market.abort.signal.reason;
    };
    expect(await refusal(obtain(market.deps, spec))).toBeInstanceOf(NotReadyError);
    expect(ids()).toEqual([5001]);
  });

  test("a cancel while waiting for an unanswered rent rents nothing", async () => {
    const label = labelOf({ nonce: "lost" });
    market.intents.set(label, { label, offerId: 9, at: market.clock.now() });
    market.clock.after(1000, () => market.abort.abort(new Error("cancelled")));
    expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_CANCELLED" });
    expect(rents()).toEqual([]);
    expect(market.intents.size).toBe(1);
  });
});

describe("a kill", () => {
  /** As SIGKILL does: whoever is there waits for ever. */
  const hang = (point: CrashPoint) => {
    const reached = Promise.withResolvers<void>();
    const original = market.deps.point;
    market.deps.point = async (name) => {
      await original(name);
      if (name !== point) return;
      reached.resolve();
      await new Promise(() => {});
    };
    return reached.promise;
  };
  const RENT_POINTS: CrashPoint[] = [
    "rent-intended",
    "rent-sent",
    "rent-answered",
    "rent-recorded",
    "running",
    "ready",
  ];

  test.each(RENT_POINTS)("at %s: the next up ends with exactly one machine", async (point) => {
    market.lagMs = 2000;
    const killed = hang(point);
    void obtain(market.deps, spec).catch(() => undefined);
    await killed;
    const deps = { ...market.deps, point: async () => {} };
    const { contract } = await obtain(deps, spec);
    expect(ids()).toEqual([contract.id]);
    expect(market.mostAtOnce()).toBe(1);
    await market.clock.sleep(60_000);
    expect(ids()).toEqual([contract.id]);
    expect(market.intents.size).toBe(0);
  });

  test.each(RENT_POINTS)("at %s: a sweep leaves nothing, also a minute later", async (point) => {
    market.lagMs = 2000;
    const killed = hang(point);
    void obtain(market.deps, spec).catch(() => undefined);
    await killed;
    await sweep({ ...market.deps, point: async () => {} }, SCOPE);
    await market.clock.sleep(60_000);
    expect(ids()).toEqual([]);
    expect(market.intents.size).toBe(0);
  });

  test("after the market's pace has held the rent back for minutes: a sweep still waits for it", async () => {
    const rent = market.api.rent;
    market.api.rent = async (...args) => {
      await market.clock.sleep(120_000);
      return rent(...args);
    };
    market.lagMs = 10_000;
    const killed = hang("rent-answered");
    void obtain(market.deps, spec).catch(() => undefined);
    await killed;
    await sweep({ ...market.deps, point: async () => {} }, SCOPE);
    await market.clock.sleep(60_000);
    expect(ids()).toEqual([]);
  });

  test.each<CrashPoint>(["destroy-intended", "destroy-sent", "sweep-begun", "destroy-proven"])(
    "at %s of a sweep: the next one leaves nothing",
    async (point) => {
      market.add({ label: labelOf() });
      market.add({ label: labelOf({ name: "node1" }) });
      const killed = hang(point);
      void sweep(market.deps, SCOPE).catch(() => undefined);
      await killed;
      await sweep({ ...market.deps, point: async () => {} }, SCOPE);
      expect(ids()).toEqual([]);
    },
  );
});

describe("a market that fails in between", () => {
  test("is no reason to lose a machine that is loading: it is handed over to be recorded", async () => {
    market.atPoint["rent-recorded"] = () => {
      market.listFaults = Array(1000).fill("unreadable");
    };
    const error = await refusal(obtain(market.deps, spec));
    expect(market.clock.passed()).toBeGreaterThan(60_000);
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error.message).toContain("VL_MARKET_UNREADABLE");
    expect(ids()).toEqual([5001]);
  });

  test("a short one while the machine loads is waited out", async () => {
    market.atPoint["rent-recorded"] = () => {
      market.listFaults = ["unreadable", "server", "unreadable"];
    };
    expect((await obtain(market.deps, spec)).contract.id).toBe(5001);
    expect(market.listFaults).toEqual([]);
  });

  test("a short one right after a rent is waited out", async () => {
    market.atPoint["rent-answered"] = () => {
      market.listFaults = ["unreadable", "server"];
    };
    const { contract } = await obtain(market.deps, spec);
    expect(ids()).toEqual([contract.id]);
    expect(rents()).toHaveLength(1);
  });

  test("a long one right after a rent is said aloud, and the intent stays for whoever comes next", async () => {
    market.atPoint["rent-answered"] = () => {
      market.listFaults = Array(1000).fill("server");
    };
    const error = await refusal(obtain(market.deps, spec));
    expect(error.message).toBe(`VL_MARKET_DOWN: a rent was sent, and then the market answers with server errors
  why: contract 5001 was rented, and bills under this stack's label
       listing contracts: server: as told
  do:  run the command again to go on with it, or \`vastlane destroy\` to end it`);
    expect(market.intents.size).toBe(1);
    market.listFaults = [];
    market.atPoint = {};
    expect((await obtain(market.deps, spec)).contract.id).toBe(5001);
    expect(market.intents.size).toBe(0);
  });

  test("an unreadable list is never taken for none: nothing is rented", async () => {
    market.listFaults = ["unreadable"];
    expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_MARKET_UNREADABLE" });
    expect(rents()).toEqual([]);
  });

  test("a disk that is full rents nothing", async () => {
    market.deps.intents.write = () => {
      throw new UserError("VL_DISK_FULL", { what: "full" });
    };
    expect(await refusal(obtain(market.deps, spec))).toMatchObject({ code: "VL_DISK_FULL" });
    expect(rents()).toEqual([]);
  });
});

describe("endContracts", () => {
  test("has nothing to do for none", async () => {
    await endContracts(market.deps, []);
    expect(market.points).toEqual([]);
  });

  test("proves that each is gone", async () => {
    const [a, b] = [market.add({}).id, market.add({}).id];
    await endContracts(market.deps, [a, b]);
    expect(ids()).toEqual([]);
    expect(market.points).toEqual(["destroy-intended", "destroy-sent", "destroy-proven"]);
    expect(market.log).toEqual([`contract ${a} is gone`, `contract ${b} is gone`]);
  });

  test("takes one that is gone already for done", async () => {
    await endContracts(market.deps, [4711]);
    expect(market.log).toEqual(["contract 4711 is gone"]);
    expect(market.clock.passed()).toBeLessThan(100);
  });

  test("repeats a DELETE that the market forgot", async () => {
    const { id } = market.add({});
    market.forgottenDeletes = 2;
    await endContracts(market.deps, [id]);
    expect(ids()).toEqual([]);
  });

  test("fails loudly when the market still shows it after 90 s", async () => {
    const { id } = market.add({});
    market.forgottenDeletes = 1000;
    const error = await refusal(endContracts(market.deps, [id]));
    expect(error.message).toBe(
      `VL_DESTROY_UNPROVEN: the market still shows contract 5001 90 s after it was told to destroy it
  why: it bills $0.230/h until it is gone
  do:  run the command again; if it persists, destroy 5001 in the market's console`,
    );
    expect(market.points).not.toContain("destroy-proven");
  });

  test("waits while the list cannot be read, and proves nothing from it", async () => {
    const { id } = market.add({});
    market.listFaults = ["unreadable", "server", "unreadable"];
    await endContracts(market.deps, [id]);
    expect(ids()).toEqual([]);
    expect(market.listFaults).toEqual([]);
  });

  test("fails loudly when the list cannot be read for 90 s", async () => {
    const { id } = market.add({});
    market.listFaults = Array(1000).fill("unreadable");
    const error = await refusal(endContracts(market.deps, [id]));
    expect(error.message).toBe(
      `VL_DESTROY_UNPROVEN: contract 5001 was told to go, but the market's list cannot be read to see whether it is gone
  why: listing contracts: unreadable: as told
  do:  run the command again; until it succeeds, take it that the machine bills`,
    );
  });

  test("fails when the market refuses the DELETE", async () => {
    const { id } = market.add({});
    market.deleteFault = "auth";
    expect(await refusal(endContracts(market.deps, [id]))).toMatchObject({ code: "VL_ACCOUNT_REFUSED" });
    expect(ids()).toEqual([id]);
  });

  test("does not believe that a new contract is gone before the market can know it", async () => {
    const { contract } = await obtain(market.deps, spec);
    const it = market.all[0];
    if (it) it.visibleAt = market.clock.now() + 5000;
    await endContracts(market.deps, [contract.id], { isNew: true });
    expect(ids()).toEqual([]);
  });
});

describe("sweep", () => {
  test("ends everything of the scope and nothing else", async () => {
    const ours = ["main", "node1", "node2"].map((name) => market.add({ label: labelOf({ name }) }).id);
    const others = [labelOf({ scope: "other" }), null].map((label) => market.add({ label }).id);
    expect(await sweep(market.deps, SCOPE)).toEqual(ours);
    expect(ids()).toEqual(others);
  });

  test("is quick when nothing is open", async () => {
    expect(await sweep(market.deps, SCOPE)).toEqual([]);
    expect(market.clock.passed()).toBeLessThan(100);
  });

  test("waits for a rent that nobody saw answered, and ends it", async () => {
    const label = labelOf({ nonce: "lost" });
    market.intents.set(label, { label, offerId: 1, at: market.clock.now() });
    market.clock.after(12_000, () => market.add({ label }));
    expect(await sweep(market.deps, SCOPE)).toEqual([5001]);
    expect(ids()).toEqual([]);
    expect(market.intents.size).toBe(0);
  });

  test("waits at most 15 s, also for an intent from the future", async () => {
    const label = labelOf({ nonce: "ahead" });
    market.intents.set(label, { label, offerId: 1, at: market.clock.now() + 86_400_000 });
    await sweep(market.deps, SCOPE);
    expect(market.clock.passed()).toBeGreaterThan(14_000);
    expect(market.clock.passed()).toBeLessThan(20_000);
    expect(market.intents.size).toBe(0);
  });

  test("leaves the intents of other scopes", async () => {
    const label = labelOf({ scope: "other", nonce: "lost" });
    market.intents.set(label, { label, offerId: 1, at: market.clock.now() });
    await sweep(market.deps, SCOPE);
    expect(market.intents.size).toBe(1);
    expect(market.clock.passed()).toBeLessThan(100);
  });

  test("does not depend on the operation still being wanted", async () => {
    market.add({ label: labelOf() });
    market.abort.abort();
    market.isOrphaned = true;
    await sweep(market.deps, SCOPE);
    expect(ids()).toEqual([]);
  });
});

describe("looking", () => {
  test("listOurs tells scopes and names apart", async () => {
    const main = market.add({ label: labelOf() }).id;
    const node = market.add({ label: labelOf({ name: "node1" }) }).id;
    market.add({ label: labelOf({ scope: "other" }) });
    market.add({ label: "vl1:broken" });
    expect((await listOurs(market.deps, SCOPE)).map(({ id }) => id)).toEqual([main, node]);
    expect((await listOurs(market.deps, SCOPE, "node1")).map(({ id }) => id)).toEqual([node]);
  });

  test("findOffers looks through every page when the first has nothing, as for a name in other letters", async () => {
    const queries: Record<string, unknown>[] = [];
    const api = {
      searchOffers: async (query: Record<string, unknown>) => {
        queries.push(query);
        return "gpu_name" in query ? [] : [offerOf()];
      },
    };
    const plan = await findOffers(api, requestOf({ gpu: { names: ["rtx 4090"] } }));
    expect(plan.candidates).toHaveLength(1);
    expect(queries).toHaveLength(2);
  });

  test("findOffers and allOffers speak of the market's faults in people's words", async () => {
    const api = { searchOffers: () => Promise.reject(new MarketError("server", { act: "searching offers" })) };
    expect(await refusal(findOffers(api, spec.request))).toMatchObject({ code: "VL_MARKET_DOWN" });
    expect(await refusal(allOffers(api, spec.request))).toMatchObject({ code: "VL_MARKET_DOWN" });
  });

  test("allOffers pages over the price, drops duplicates, and ends", async () => {
    const many = Array.from({ length: 150 }, (_, i) =>
      offerOf({ id: i, gpuPricePerHour: 0.1 + i / 1000, diskUsdPerGBMonth: 0 }),
    );
    const api = {
      searchOffers: async (query: { dph_total?: { gte: number } }) =>
        many.filter(({ gpuPricePerHour }) => gpuPricePerHour >= (query.dph_total?.gte ?? 0)).slice(0, 64),
    };
    expect((await allOffers(api, spec.request)).map(({ id }) => id).sort((a, b) => a - b)).toEqual(
      many.map(({ id }) => id),
    );
    const stuck = { searchOffers: async () => many.slice(0, 64).map((it) => ({ ...it, gpuPricePerHour: 1 })) };
    expect(await allOffers(stuck, spec.request)).toHaveLength(64);
  });
});
