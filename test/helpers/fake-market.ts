/**
 * A market in memory for the lifecycle's tests: contracts as the lifecycle sees them, faults to inject, and a journal
 * that tells what billed when. Time is the fake clock's; nothing waits for real.
 */
import { UserError } from "../../common/errors.ts";
import type { MarketApi, RentOrder } from "../../infra/vast/api.ts";
import type { Intent } from "../../infra/vast/intents.ts";
import { parseLabel } from "../../infra/vast/label.ts";
import type { CrashPoint, Deps } from "../../infra/vast/lifecycle.ts";
import { MarketError, type MarketErrorKind } from "../../infra/vast/market-error.ts";
import { shareList } from "../../infra/vast/shared-list.ts";
import type { Contract, Offer } from "../../infra/vast/wire.ts";
import { type FakeClock, fakeClock } from "./fake-clock.ts";
import { contractOf, offerOf } from "./vast-values.ts";

/** How one rent goes; the next rent after the queue is empty goes well. */
export type RentFault =
  | "taken" // somebody else was quicker
  | "refused" // another no
  | "no-credit"
  | "error-with-contract" // a no that leaves a stopped contract
  | "reply-lost" // rented, but the answer is lost
  | "request-lost" // not rented, and no answer either
  | "server-error" // rented, and answered with a 502
  | "late" // rented 2 s later, and the answer is lost
  | "never-shown" // answered with an id that no list ever shows
  | "wrong-kind" // rented on demand where a bid was asked for, or the other way round
  | "stuck" // loads for ever, without progress
  | "moving" // loads for an hour, with progress
  | "start-error" // the container cannot start
  | "outbid" // loses its bid before it runs
  | "offline" // its host goes away
  | "vanishes"; // ended by somebody else while it loads

/** How one look at the list goes. */
export type ListFault = "ok" | MarketErrorKind;

export interface FakeContract {
  contract: Contract;
  rentedAt: number;
  visibleAt: number;
  runsAt: number;
  endedAt: number | undefined;
  fault: RentFault | undefined;
}

export interface FakeMarket {
  api: MarketApi;
  clock: FakeClock;
  deps: Deps;
  offers: Offer[];
  /** Every contract that ever was, in the order of rents. */
  all: FakeContract[];
  rentFaults: RentFault[];
  listFaults: ListFault[];
  /** How long new contracts stay invisible, also to a DELETE. */
  lagMs: number;
  loadingMs: number;
  /** So many DELETEs are accepted and forgotten. */
  forgottenDeletes: number;
  /** Thrown by every DELETE. */
  deleteFault: MarketErrorKind | undefined;
  /** What a start answers. */
  startFault: MarketErrorKind | undefined;
  /** Calls that changed something, such as `rent 1` and `bid 5001 0.3`. */
  journal: string[];
  log: string[];
  points: CrashPoint[];
  intents: Map<string, Intent>;
  bad: Map<number, string>;
  abort: AbortController;
  /** The engine is dead. */
  isOrphaned: boolean;
  /** Does something at a crash point. */
  atPoint: Partial<Record<CrashPoint, () => void>>;
  /** What SSH does; the default answers with a host key. */
  ssh: (contract: Contract) => Promise<string[]>;
  alive(): Contract[];
  /** Adds a contract as if it had been rented long ago. */
  add(changes: Partial<Contract>): Contract;
  change(id: number, changes: Partial<Contract>): void;
  /** The most contracts that existed at one moment under one name. */
  mostAtOnce(): number;
}

export function fakeMarket(): FakeMarket {
  const clock = fakeClock();
  const abort = new AbortController();
  let nextId = 5001;
  const isThere = (it: FakeContract) => it.endedAt === undefined;
  const isSeen = (it: FakeContract) => isThere(it) && it.visibleAt <= clock.now();

  const create = (offer: Offer, order: RentOrder, fault: RentFault | undefined, delayMs = 0): FakeContract => {
    const rentedAt = clock.now() + delayMs;
    const isBid = fault === "wrong-kind" ? order.bidPerHour === null : order.bidPerHour !== null;
    const made: FakeContract = {
      contract: contractOf({
        id: nextId++,
        machineId: offer.machineId,
        hostId: offer.hostId,
        label: order.label,
        isBid,
        minBidPerHour: offer.minBidPerHour,
        gpuPricePerHour: order.bidPerHour ?? offer.gpuPricePerHour,
        diskGB: order.diskGB,
        diskPricePerHour: (offer.diskUsdPerGBMonth * order.diskGB) / 720,
        gpuName: offer.gpuName,
        gpuCount: offer.gpuCount,
        startedAt: rentedAt / 1000,
      }),
      rentedAt,
      visibleAt: fault === "never-shown" ? Number.POSITIVE_INFINITY : rentedAt + market.lagMs,
      runsAt: rentedAt + market.loadingMs,
      endedAt: undefined,
      fault,
    };
    market.all.push(made);
    return made;
  };

  const api: MarketApi = {
    url: "http://market.test",
    nowS: () => clock.now() / 1000,
    account: async () => ({ id: 42, creditUsd: 10 }),
    async searchOffers() {
      const taken = new Set(market.all.filter(isThere).map(({ contract }) => contract.machineId));
      return market.offers.filter(({ machineId }) => !taken.has(machineId));
    },
    async rent(offerId, order, beforeSend) {
      await beforeSend();
      market.journal.push(`rent ${offerId}`);
      const offer = market.offers.find(({ id }) => id === offerId);
      const fault = market.rentFaults.shift();
      await clock.sleep(100);
      if (!offer || fault === "taken") throw refusal("offer-gone", 404);
      if (fault === "refused") throw refusal("refused", 400, undefined, "the image has no such tag");
      if (fault === "no-credit") throw refusal("no-credit", 400);
      if (fault === "request-lost") throw refusal("network");
      if (fault === "error-with-contract") {
        const { contract } = create(offer, order, fault);
        Object.assign(contract, { actualStatus: null, intendedStatus: "stopped", curState: "stopped" });
        throw refusal("bid-too-low", 400, contract.id);
      }
      const { contract } = create(offer, order, fault, fault === "late" ? 2000 : 0);
      if (fault === "reply-lost" || fault === "late") throw refusal("network");
      if (fault === "server-error") throw refusal("server", 502);
      return contract.id;
    },
    async listContracts() {
      await clock.sleep(10);
      const fault = market.listFaults.shift() ?? "ok";
      if (fault !== "ok") throw new MarketError(fault, { act: "listing contracts", detail: "as told" });
      for (const it of market.all) if (it.fault === "vanishes" && it.runsAt <= clock.now()) it.endedAt ??= clock.now();
      return market.all.filter(isSeen).map((it) => ({ ...it.contract, ...statusOf(it, clock.now()) }));
    },
    async destroy(id) {
      market.journal.push(`destroy ${id}`);
      await clock.sleep(10);
      if (market.deleteFault) throw new MarketError(market.deleteFault, { act: `destroying contract ${id}` });
      const it = market.all.find(({ contract }) => contract.id === id);
      if (!it || !isThere(it) || (it.visibleAt > clock.now() && it.fault !== "never-shown")) return false;
      if (market.forgottenDeletes > 0) market.forgottenDeletes--;
      else it.endedAt = clock.now();
      return true;
    },
    async setState(id, state) {
      market.journal.push(`${state} ${id}`);
      if (state === "running" && market.startFault) throw new MarketError(market.startFault, { act: `starting ${id}` });
      if (state === "running") market.change(id, RUNNING);
      else market.change(id, { intendedStatus: "stopped", curState: "stopped", actualStatus: "exited" });
    },
    async setLabel(id, label) {
      market.journal.push(`label ${id}`);
      market.change(id, { label });
    },
    async setBid(id, bid) {
      market.journal.push(`bid ${id} ${bid}`);
      market.change(id, { gpuPricePerHour: bid });
    },
    async attachKey(id) {
      market.journal.push(`key ${id}`);
    },
    containerLog: async () => "",
  };

  const market: FakeMarket = {
    api,
    clock,
    offers: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((i) =>
      offerOf({ id: i, machineId: 100 + i, hostId: i, minBidPerHour: 0.2 + i / 100, gpuPricePerHour: 0.4 + i / 100 }),
    ),
    all: [],
    rentFaults: [],
    listFaults: [],
    lagMs: 0,
    loadingMs: 3000,
    forgottenDeletes: 0,
    deleteFault: undefined,
    startFault: undefined,
    journal: [],
    log: [],
    points: [],
    intents: new Map(),
    bad: new Map(),
    abort,
    isOrphaned: false,
    atPoint: {},
    ssh: async ({ id }) => [`ssh-ed25519 KEY${id}`],
    alive: () => market.all.filter(isThere).map(({ contract }) => contract),
    add(changes) {
      const contract = contractOf({ id: nextId++, ...changes });
      nextId = Math.max(nextId, contract.id + 1);
      const rentedAt = clock.now() - 3_600_000;
      market.all.push({
        contract,
        rentedAt,
        visibleAt: rentedAt,
        runsAt: rentedAt,
        endedAt: undefined,
        fault: undefined,
      });
      return contract;
    },
    change(id, changes) {
      const it = market.all.find(({ contract }) => contract.id === id);
      if (it) it.contract = { ...it.contract, ...changes };
    },
    mostAtOnce: () => mostAtOnce(market.all),
    deps: undefined as never,
  };
  market.deps = depsOf(market, abort);
  return market;
}

const RUNNING = { intendedStatus: "running", curState: "running", actualStatus: "running" };

function refusal(kind: MarketErrorKind, status = 0, createdContractId?: number, detail?: string): MarketError {
  return new MarketError(kind, {
    act: "renting offer",
    ...(status > 0 && { status }),
    ...(detail && { detail }),
    ...(createdContractId !== undefined && { createdContractId }),
  });
}

function depsOf(market: FakeMarket, abort: AbortController): Deps {
  return {
    api: market.api,
    contracts: shareList(market.api),
    clock: market.clock,
    log: (line) => market.log.push(line),
    signal: abort.signal,
    async assertWanted() {
      if (abort.signal.aborted || market.isOrphaned) {
        throw new UserError("VL_CANCELLED", { what: "the operation was cancelled before the rent" });
      }
    },
    isOrphaned: async () => market.isOrphaned,
    reserved: new Set(),
    intents: {
      write: (intent) => void market.intents.set(intent.label, intent),
      clear: (label) => void market.intents.delete(label),
      of: (scope) => [...market.intents.values()].filter(({ label }) => parseLabel(label)?.scope === scope),
    },
    badMachines: {
      has: (id) => market.bad.has(id),
      add: (id, reason) => void market.bad.set(id, reason),
    },
    firstContact: (contract) => market.ssh(contract),
    async point(name) {
      market.points.push(name);
      market.atPoint[name]?.();
    },
    poll: { firstMs: 100, maxMs: 2000 },
  };
}

/** What the market shows of a contract at a moment, by its age and fault; one changed by hand stays as it is. */
function statusOf(it: FakeContract, now: number): Partial<Contract> {
  const age = now - it.rentedAt;
  if (it.contract.intendedStatus === "stopped" || it.contract.statusMessage !== "success, running") return {};
  const loading = { actualStatus: "loading", curState: "running", statusMessage: "pulling" };
  if (it.fault === "stuck") return loading;
  if (it.fault === "moving" && age < 3_600_000)
    return { ...loading, statusMessage: `pulled ${Math.floor(age / 60_000)} of 60 layers` };
  if (now < it.runsAt) return age < 500 ? { ...loading, actualStatus: null } : loading;
  if (it.fault === "start-error") return { actualStatus: "created", statusMessage: "Error response from daemon: no" };
  if (it.fault === "outbid")
    return { intendedStatus: "stopped", curState: "stopped", actualStatus: "exited", minBidPerHour: 9 };
  if (it.fault === "offline") return { actualStatus: "offline" };
  return {};
}

function mostAtOnce(all: readonly FakeContract[]): number {
  const changes = all.flatMap(({ contract, rentedAt, endedAt }) => {
    const name = parseLabel(contract.label)?.name ?? "?";
    return [
      { at: rentedAt, name, by: 1 },
      { at: endedAt ?? Number.POSITIVE_INFINITY, name, by: -1 },
    ];
  });
  changes.sort((a, b) => a.at - b.at || a.by - b.by);
  const now = new Map<string, number>();
  let most = 0;
  for (const { name, by } of changes) {
    now.set(name, (now.get(name) ?? 0) + by);
    most = Math.max(most, now.get(name) ?? 0);
  }
  return most;
}
