/**
 * Rent, adopt, wait and destroy: the only code that can make a machine bill or stop billing. The provider, the CLI,
 * the watcher and the tests all come through here; it knows nothing of Pulumi.
 *
 * Safety rests on four rules. Whatever is rented carries a label that says whose it is, written down before the rent.
 * Whoever comes later looks for labels first. Nobody rents for an engine that is gone. And "gone" is only what a
 * complete list of the right account does not show.
 *
 * Longer than our files should be: rent, wait and destroy share the rules above, and whoever checks one path for a leak
 * must see the other two beside it.
 */
import type { Clock } from "../../common/clock.ts";
import { messageOf, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { SshFailure } from "../ssh/failure.ts";
import type { MarketApi } from "./api.ts";
import type { BadMachines } from "./bad-machines.ts";
import type { Intent, Intents } from "./intents.ts";
import { formatLabel, newNonce, parseLabel } from "./label.ts";
import { MarketError } from "./market-error.ts";
import { userErrorOf } from "./market-messages.ts";
import { noOfferError } from "./no-offer.ts";
import {
  baseQuery,
  type Candidate,
  planRent,
  type RentPlan,
  type RentRequest,
  searchQuery,
  stillFits,
} from "./offers.ts";
import type { ContractList } from "./shared-list.ts";
import { describeSituation, type Situation, situationOf } from "./situation.ts";
import type { Contract, Offer } from "./wire.ts";

/** Everything that one machine of a stack is to be. */
export interface MachineSpec {
  scope: string;
  name: string;
  requestHash: string;
  request: RentRequest;
  image: string;
  env: Record<string, string>;
  /** The script that the machine runs at each start; its limits follow from what the machine costs (USD per hour). */
  onstart(pricePerHour: number): string;
  publicKey: string;
  loadingTimeoutMinutes: number;
}

/** Moments at which tests kill: between any two of them a crash must be harmless. */
export type CrashPoint =
  | "rent-intended"
  | "rent-sent"
  | "rent-answered"
  | "rent-recorded"
  | "running"
  | "key-attached"
  | "ready"
  | "destroy-intended"
  | "destroy-sent"
  | "destroy-proven"
  | "sweep-begun"
  | "sweep-done";

export interface Deps {
  api: MarketApi;
  contracts: ContractList;
  clock: Clock;
  log: Log;
  /** Aborted when the operation is no longer wanted: wait loops end at once. */
  signal: AbortSignal;
  /** @throws UserError VL_CANCELLED when nobody waits for the result any more. */
  assertWanted(): Promise<void>;
  /** Whether the asker is gone for good, so that nobody will record what was rented. */
  isOrphaned(): Promise<boolean>;
  /**
   * Offers that this process is renting or has rented, so that parallel rents choose different ones also while the
   * market's search still shows one that is taken (two rents of one offer were both accepted: SkyPilot PR 9117).
   */
  reserved: Set<number>;
  intents: Intents;
  badMachines: BadMachines;
  /** SSH until it answers; returns the host key lines that were pinned. @throws UserError VL_SSH_FAILED */
  firstContact(contract: Contract, deadlineMs: number): Promise<string[]>;
  point(name: CrashPoint): Promise<void>;
  /** Waits between two looks at the market, in ms. */
  poll: { firstMs: number; maxMs: number };
}

export interface ReadyMachine {
  contract: Contract;
  hostKeys: string[];
}

/** A contract exists and bills, but is not usable yet; it must be recorded, not lost. */
export class NotReadyError extends Error {
  readonly contract: Contract;
  readonly reason: string;
  constructor(contract: Contract, reason: string) {
    super(reason);
    this.name = "NotReadyError";
    this.contract = contract;
    this.reason = reason;
  }
}

const RENT_TRIES = 8;
const MACHINE_TRIES = 3;
/** How long a rent may stay invisible in the market's list (10 s reported; SkyPilot and dstack issue threads). */
const SETTLE_MS = 15_000;
const SSH_MINUTES = 3;
const PROOF_MS = 90_000;
/** How long a waiting machine's list may be unreadable before the wait is given up. */
const BLIND_MS = 60_000;

/** The machine that the state knows, where it knows one. */
export interface Existing {
  contractId: number;
  /** It was ready once, so its disk may hold work that exists nowhere else. */
  wasReady: boolean;
}

/**
 * A running machine with answering SSH for this spec: adopted when ours is there, rented otherwise; machines that
 * fail to come up are ended and the next offer is tried, at most three times. An `existing` machine comes before
 * every other one, and is not ended for having been halted, nor (once ready) for a silent SSH.
 * Leaves: one contract when it returns or throws NotReadyError; none otherwise, but for what a crash, or a market
 * that fails right after a rent, leaves under our label.
 * @throws UserError VL_NO_OFFER, VL_NO_CREDIT, VL_NOT_READY, VL_CANCELLED; NotReadyError.
 */
export async function obtain(deps: Deps, spec: MachineSpec, existing?: Existing): Promise<ReadyMachine> {
  const failures: string[] = [];
  const failedMachines = new Set<number>();
  while (failures.length < MACHINE_TRIES) {
    const contract = await rentOrAdopt(deps, spec, existing?.contractId, failedMachines);
    const outcome = await waitUntilReady(deps, spec, contract);
    if ("hostKeys" in outcome) return outcome;
    if (contract.id === existing?.contractId && isWorthKeeping(outcome, existing))
      throw new NotReadyError(contract, outcome.failure);
    deps.log(`contract ${contract.id} is no use: ${outcome.failure}`);
    failures.push(`contract ${contract.id} on machine ${contract.machineId}: ${outcome.failure}`);
    if (contract.machineId !== null) {
      failedMachines.add(contract.machineId);
      if (outcome.fault === "machine" || outcome.fault === "ssh")
        deps.badMachines.add(contract.machineId, outcome.failure);
    }
    await endContracts(deps, [contract.id]);
  }
  throw new UserError("VL_NOT_READY", {
    what: `${MACHINE_TRIES} machines in a row did not become usable; all were ended, nothing bills`,
    why: failures.map((failure) => `\n    ${failure}`).join(""),
    hint: "run the command again, or ask for more reliable machines (vastlane:gpu.minReliability, verified, minDownMbps)",
  });
}

/**
 * Ours if there is one that still is what was asked for, else a new one; `existingId` is ours whatever its label says.
 * Contracts of an older request are ended. Machines in `avoid` are not rented.
 */
export async function rentOrAdopt(
  deps: Deps,
  spec: MachineSpec,
  existingId?: number,
  avoid: ReadonlySet<number> = new Set(),
): Promise<Contract> {
  const { keep, end } = chooseAdoption(await listSettled(deps, spec, existingId), spec, existingId);
  await endContracts(deps, idsOf(end));
  if (!keep) return rentNew(deps, spec, avoid);
  deps.log(`adopting contract ${keep.id} (${describeSituation(situationOf(keep))})`);
  return keep;
}

/**
 * Of the contracts under one name: the one that the state knows is kept, else the oldest, if it still is what is asked
 * for; every other one ends.
 */
export function chooseAdoption(
  ours: readonly Contract[],
  spec: Pick<MachineSpec, "requestHash" | "request">,
  existingId?: number,
): { keep: Contract | undefined; end: Contract[] } {
  const keep = [...ours]
    .sort((a, b) => Number(b.id === existingId) - Number(a.id === existingId) || a.id - b.id)
    .find((it) => isStillAskedFor(it, spec, existingId) && !USELESS.has(situationOf(it)));
  return { keep, end: ours.filter((contract) => contract !== keep) };
}

/** Whether a contract is what the spec asks for, by its label and by what it is. */
export function isStillAskedFor(
  contract: Contract,
  spec: Pick<MachineSpec, "requestHash" | "request">,
  existingId?: number,
): boolean {
  const label = parseLabel(contract.label);
  // A label changed by hand says nothing about the request; the machine itself does.
  const isSameRequest = label ? label.requestHash === spec.requestHash : contract.id === existingId;
  return isSameRequest && stillFits(contract, spec.request);
}

/** Situations in which a machine is not worth adopting. */
const USELESS = new Set<Situation>(["failed", "offline"]);

/** Contracts of a scope, or of one instance in it. */
export async function listOurs(deps: Pick<Deps, "contracts">, scope: string, name?: string): Promise<Contract[]> {
  return (await readList(deps)).filter((contract) => isNamed(contract, scope, name));
}

/**
 * What the market offers for a request, best first. One page of the cheapest is enough to rank; where it has nothing,
 * every page is looked through: the market spells names its own way and does not apply every filter exactly.
 */
export async function findOffers(
  api: Pick<MarketApi, "searchOffers">,
  request: RentRequest,
  isTaken?: (offer: Offer) => boolean,
): Promise<RentPlan> {
  const plan = planRent(request, await searchPage(api, searchQuery(request)), undefined, isTaken);
  return plan.candidates.length > 0 ? plan : planRent(request, await allOffers(api, request), undefined, isTaken);
}

/** Every rentable offer, by paging over the price: the market gives 64 at most. */
export async function allOffers(
  api: Pick<MarketApi, "searchOffers">,
  request: RentRequest,
  maxPages = 10,
): Promise<Offer[]> {
  const offers = new Map<number, Offer>();
  let fromPrice: number | undefined;
  for (let page = 0; page < maxPages; page++) {
    const query = { ...baseQuery(request), ...(fromPrice !== undefined && { dph_total: { gte: fromPrice } }) };
    const rows = await searchPage(api, query);
    const before = offers.size;
    for (const row of rows) offers.set(row.id, row);
    if (offers.size === before || rows.length < 64) break;
    const last = rows.at(-1);
    if (last) fromPrice = totalPrice(last, request.diskGB);
  }
  return [...offers.values()];
}

/**
 * Ends contracts and proves it: DELETE, then looks until a complete list no longer shows them. `isNew`: rented in the
 * last seconds, so that "no such contract" proves nothing yet.
 * @throws UserError VL_DESTROY_UNPROVEN when the market still shows one, or cannot be read, for 90 s.
 */
export async function endContracts(deps: Deps, ids: readonly number[], { isNew = false } = {}): Promise<void> {
  if (ids.length === 0) return;
  await deps.point("destroy-intended");
  // A person or a dying provider may wait: ending must not depend on the operation still being wanted.
  await Promise.all(ids.map((id) => tellToGo(deps, id, isNew)));
  await deps.point("destroy-sent");
  const deadline = deps.clock.now() + PROOF_MS;
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const { list, fault } = await tryList(deps);
    const left = list?.filter(({ id }) => ids.includes(id));
    if (left?.length === 0) break;
    if (deps.clock.now() > deadline) throw left ? unproven(left) : unread(ids, fault);
    await deps.clock.sleep(wait);
    // Some markets accept a DELETE and forget it; repeating it is harmless.
    if (wait >= deps.poll.maxMs && left)
      await Promise.all(left.map(({ id }) => deps.api.destroy(id).catch(() => undefined)));
  }
  for (const id of ids) deps.log(`contract ${id} is gone`);
  await deps.point("destroy-proven");
}

/**
 * Ends every contract that carries the scope's labels, and waits for rents whose answer nobody saw.
 * Returns the ids that were ended.
 */
export async function sweep(deps: Deps, scope: string): Promise<number[]> {
  await deps.point("sweep-begun");
  const begun = deps.clock.now();
  const ended: number[] = [];
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    // Taken before the list is read: what was sent longer ago must be in that list.
    const open = unanswered(deps, begun, scope);
    const ours = await listOurs(deps, scope);
    await endContracts(deps, idsOf(ours));
    ended.push(...idsOf(ours));
    for (const { label } of ours) if (label) deps.intents.clear(label);
    if (open.every(({ label }) => ours.some((contract) => contract.label === label))) break;
    deps.log(`a rent of the last ${SETTLE_MS / 1000} s has no answer yet: looking again`);
    await deps.clock.sleep(Math.max(wait, 250));
  }
  for (const { label } of deps.intents.of(scope)) deps.intents.clear(label);
  await deps.point("sweep-done");
  return ended;
}

/** Rents of which nobody saw an answer, and which may still turn up in the market's list. */
function unanswered(deps: Deps, begun: number, scope: string, name?: string): Intent[] {
  return deps.intents.of(scope).filter(({ label, at }) => {
    // From our own begin at the latest: a clock that was ahead when the rent was sent must not make us wait for it.
    const age = deps.clock.now() - Math.min(at, begun);
    return age < SETTLE_MS && (name === undefined || parseLabel(label)?.name === name);
  });
}

/**
 * The contracts under the spec's name, once every rent that a killed process sent must be among them. Whoever rents
 * before that has two machines, and nobody looks for the second one.
 */
async function listSettled(deps: Deps, spec: MachineSpec, existingId?: number): Promise<Contract[]> {
  const begun = deps.clock.now();
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const open = unanswered(deps, begun, spec.scope, spec.name);
    const ours = (await readList(deps)).filter((it) => isNamed(it, spec.scope, spec.name) || it.id === existingId);
    if (open.every(({ label }) => ours.some((contract) => contract.label === label))) {
      for (const { label } of deps.intents.of(spec.scope))
        if (parseLabel(label)?.name === spec.name) deps.intents.clear(label);
      return ours;
    }
    deps.log(`a rent of the last ${SETTLE_MS / 1000} s has no answer yet: looking again`);
    await deps.clock.sleep(Math.max(wait, 250), deps.signal).catch(() => undefined);
    await deps.assertWanted();
  }
}

async function rentNew(deps: Deps, spec: MachineSpec, avoid: ReadonlySet<number>): Promise<Contract> {
  const failed = new Set<number>();
  const reasons = new Set<string>();
  for (let attempt = 0; attempt < RENT_TRIES; attempt++) {
    const isTaken = ({ id, machineId }: Offer) =>
      failed.has(id) || deps.reserved.has(id) || avoid.has(machineId) || deps.badMachines.has(machineId);
    const candidate = (await findOffers(deps.api, spec.request, isTaken)).candidates.find(
      ({ offer }) => !isTaken(offer),
    );
    if (!candidate) throw noOfferError(spec.request, await allOffers(deps.api, spec.request), isTaken);
    deps.reserved.add(candidate.offer.id);
    const rented = await rentOffer(deps, spec, candidate).catch((error) => {
      deps.reserved.delete(candidate.offer.id);
      throw error;
    });
    if (!("lost" in rented)) return rented;
    deps.reserved.delete(candidate.offer.id);
    failed.add(candidate.offer.id);
    reasons.add(rented.lost);
    await deps.assertWanted();
  }
  throw new UserError("VL_NO_OFFER", {
    what: `${RENT_TRIES} offers in a row could not be rented; nothing bills`,
    why: [...reasons].map((reason) => `\n    ${reason}`).join(""),
    hint: "run the command again if others were quicker; else correct what the market names, or widen vastlane:gpu",
  });
}

/** One try at one offer. `lost`: why the next one is to be taken; nothing is left billing. */
async function rentOffer(
  deps: Deps,
  spec: MachineSpec,
  { offer, bidPerHour, pricePerHour }: Candidate,
): Promise<Contract | { lost: string }> {
  const label = formatLabel({ scope: spec.scope, name: spec.name, requestHash: spec.requestHash, nonce: newNonce() });
  deps.log(
    `renting ${offer.gpuCount}x ${offer.gpuName} in ${offer.geolocation} at $${pricePerHour.toFixed(3)}/h (offer ${offer.id})`,
  );
  const isSending = Promise.withResolvers<void>();
  // At each try anew, as the market's pace may hold a rent back for minutes: who asked may be gone by then, and whoever
  // looks for an unanswered rent counts the time from when it was sent.
  const beforeSend = async () => {
    deps.intents.write({ label, offerId: offer.id, at: deps.clock.now() });
    await deps.point("rent-intended");
    await deps.assertWanted();
    isSending.resolve();
  };
  const order = {
    image: spec.image,
    diskGB: spec.request.diskGB,
    bidPerHour,
    label,
    onstart: spec.onstart(pricePerHour),
    env: spec.env,
  };
  const sent = deps.api.rent(offer.id, order, beforeSend);
  // A failure is handled below; a crash point may come first.
  await Promise.race([isSending.promise, sent.catch(() => undefined)]);
  await deps.point("rent-sent");
  let contractId: number | undefined;
  try {
    contractId = await sent;
  } catch (error) {
    if (error instanceof UserError) deps.intents.clear(label); // of beforeSend: nothing was sent
    if (!(error instanceof MarketError)) throw error;
    const { kind, createdContractId } = error;
    if (createdContractId !== undefined) {
      deps.log(`the market refused the rent but left contract ${createdContractId}: ending it`);
      await endContracts(deps, [createdContractId], { isNew: true });
    }
    if (createdContractId !== undefined || !MAY_HAVE_RENTED.has(kind)) {
      deps.intents.clear(label);
      if (!MAY_HAVE_RENTED.has(kind) && !LOST_OFFER.has(kind)) throw userErrorOf(error);
      deps.log(`offer ${offer.id} is lost (${kind}): taking the next`);
      return { lost: error.message };
    }
    deps.log(`no answer to the rent (${messageOf(error)}): looking for its label`);
  }
  await deps.point("rent-answered");
  return settle(deps, spec, label, contractId);
}

/** Refusals after which the next offer may still do. */
const LOST_OFFER = new Set<MarketError["kind"]>(["offer-gone", "bid-too-low", "busy", "refused"]);
/** Faults after which a contract may exist all the same. */
const MAY_HAVE_RENTED = new Set<MarketError["kind"]>(["network", "server", "unreadable"]);

/** Looks until the market shows the rent, then makes sure that it is the only one under its name and of the right kind. */
async function settle(
  deps: Deps,
  spec: MachineSpec,
  label: string,
  contractId: number | undefined,
): Promise<Contract | { lost: string }> {
  const deadline = deps.clock.now() + SETTLE_MS;
  for (let wait = Math.min(deps.poll.firstMs, 300); ; wait = Math.min(wait * 1.5, 3000)) {
    const { list, fault } = await tryList(deps);
    const ours = list?.filter((contract) => isNamed(contract, spec.scope, spec.name)) ?? [];
    const rented = ours.find((contract) => contract.label === label || contract.id === contractId);
    const known = contractId ?? rented?.id;
    if (known !== undefined && (await deps.isOrphaned())) {
      await endContracts(deps, [known], { isNew: true });
      deps.intents.clear(label);
      throw cancelled("the Pulumi engine is gone; what was just rented has been ended");
    }
    if (rented) {
      deps.intents.clear(label);
      if (rented.isBid !== (spec.request.rental.type === "interruptible")) {
        await endContracts(deps, [rented.id]);
        throw new UserError("VL_MARKET_UNREADABLE", {
          what: `the market rented contract ${rented.id} ${rented.isBid ? "as a bid" : "on demand"}, which was not asked for; it was ended`,
          hint: "report this: the market's API has changed",
        });
      }
      // The market's rows of offers and of contracts may differ: what was just rented by one is not ended by the other.
      const keep = chooseAdoption(ours, spec).keep ?? rented;
      await endContracts(deps, idsOf(ours.filter((contract) => contract !== keep)));
      await deps.point("rent-recorded");
      return keep;
    }
    if (deps.clock.now() > deadline) {
      if (!list) throw unseen(fault, contractId);
      // Answered with an id, then never shown: ended blindly, because an unseen machine may bill.
      if (contractId !== undefined) await endContracts(deps, [contractId]);
      deps.intents.clear(label);
      return { lost: "the rent was not answered, and the market shows no contract of it" };
    }
    await deps.clock.sleep(wait);
  }
}

interface Failure {
  failure: string;
  /** `halted` and `gone` are not the machine's fault; after the other two it is avoided for a day. */
  fault: "halted" | "gone" | "machine" | "ssh";
}

function isWorthKeeping({ fault }: Failure, { wasReady }: Existing): boolean {
  return fault === "halted" || (fault === "ssh" && wasReady);
}

/** Waits for a running container and answering SSH. A failure is returned, not thrown: the caller takes the next offer. */
async function waitUntilReady(deps: Deps, spec: MachineSpec, rented: Contract): Promise<ReadyMachine | Failure> {
  const limitMs = spec.loadingTimeoutMinutes * 60_000;
  let deadline = deps.clock.now() + limitMs;
  const messages = new Set([rented.statusMessage]);
  let contract = rented;
  let lastSeen = deps.clock.now();
  let isKeyAttached = false;
  let last = "";
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const situation = situationOf(contract);
    const message = contract.statusMessage;
    if (situation !== last) deps.log(`contract ${rented.id}: ${describeSituation(situation)}`);
    last = situation;
    if (situation === "running" && contract.addresses.length > 0) {
      await deps.point("running");
      if (!isKeyAttached) await attachKey(deps, contract.id, spec.publicKey);
      isKeyAttached = true;
      await deps.point("key-attached");
      const met = await meet(deps, contract);
      if ("hostKeys" in met) await deps.point("ready");
      return met;
    }
    if (NEVER_READY.has(situation))
      return {
        failure: `${describeSituation(situation)}${message ? `: ${message}` : ""}`,
        fault: situation === "failed" || situation === "offline" ? "machine" : "halted",
      };
    if (!messages.has(message)) {
      messages.add(message); // a big image that still moves is not stuck; one that repeats itself is
      deadline = deps.clock.now() + limitMs;
    }
    if (deps.clock.now() > deadline)
      return {
        failure: `no progress in loading for ${spec.loadingTimeoutMinutes} min${message ? ` (${message})` : ""}`,
        fault: "machine",
      };
    try {
      await deps.clock.sleep(wait, deps.signal);
      await deps.assertWanted();
    } catch {
      await leave(deps, contract);
    }
    const { list, fault } = await tryList(deps);
    if (!list) {
      // Thrown with the contract, so that the state gets to know what was rented.
      if (deps.clock.now() - lastSeen > BLIND_MS) throw new NotReadyError(contract, messageOf(fault));
      continue;
    }
    lastSeen = deps.clock.now();
    const found = list.find(({ id }) => id === rented.id);
    if (!found) return { failure: describeSituation("gone"), fault: "gone" };
    contract = found;
  }
}

/** Situations from which a machine that was never ready is not waited for. */
const NEVER_READY = new Set<Situation>(["stopped", "outbid", "failed", "offline"]);

/** Nobody waits any more: an orphan ends its machine, a cancelled operation hands it over to be recorded. */
async function leave(deps: Deps, contract: Contract): Promise<never> {
  if (await deps.isOrphaned()) {
    await endContracts(deps, [contract.id]);
    throw cancelled("the Pulumi engine is gone; the machine it was waiting for has been ended");
  }
  throw new NotReadyError(
    contract,
    "cancelled while the machine was loading; it is kept in the state and bills until `destroy` or the next `up`",
  );
}

async function meet(deps: Deps, contract: Contract): Promise<ReadyMachine | Failure> {
  try {
    return { contract, hostKeys: await deps.firstContact(contract, deps.clock.now() + SSH_MINUTES * 60_000) };
  } catch (error) {
    if (deps.signal.aborted) return leave(deps, contract);
    // Another machine would refuse the same key, and a fault of this computer (no ssh, a full disk) is no machine's:
    // kept, so that the next `up` goes on with it.
    if (!(error instanceof SshFailure) || OUR_FAULT.has(error.reason))
      throw new NotReadyError(contract, messageOf(error));
    return { failure: `SSH does not answer: ${error.message}`, fault: "ssh" };
  }
}

const OUR_FAULT = new Set<SshFailure["reason"]>(["permission-denied", "ssh-missing"]);

async function attachKey(deps: Deps, contractId: number, publicKey: string): Promise<void> {
  try {
    await deps.api.attachKey(contractId, publicKey);
  } catch (error) {
    // The account's own keys are on the machine from birth; if this one is missing, SSH says so below.
    deps.log(`the market did not take the SSH key: ${messageOf(error)}`);
  }
}

/** DELETE; of a new contract until the market knows it. */
async function tellToGo(deps: Deps, id: number, isNew: boolean): Promise<void> {
  const deadline = deps.clock.now() + SETTLE_MS;
  try {
    while (!(await deps.api.destroy(id)) && isNew && deps.clock.now() < deadline) await deps.clock.sleep(1000);
  } catch (error) {
    throw userErrorOf(error);
  }
}

async function searchPage(api: Pick<MarketApi, "searchOffers">, query: Record<string, unknown>): Promise<Offer[]> {
  try {
    return await api.searchOffers(query);
  } catch (error) {
    throw userErrorOf(error);
  }
}

/** A list that survives a bad moment of the market: up to 30 s of errors, then the error. */
async function readList(deps: Pick<Deps, "contracts">): Promise<Contract[]> {
  try {
    return await deps.contracts.fresh();
  } catch (error) {
    throw userErrorOf(error);
  }
}

/** For loops that look again: no list means that nothing is known, never that nothing is there. */
async function tryList(deps: Deps): Promise<{ list?: Contract[]; fault?: unknown }> {
  try {
    return { list: await readList(deps) };
  } catch (fault) {
    return { fault };
  }
}

/** Whether its label says that it is of this scope, and of this machine where one is named. */
export function isNamed(contract: Contract, scope: string, name?: string): boolean {
  const label = parseLabel(contract.label);
  return label?.scope === scope && (name === undefined || label.name === name);
}

const idsOf = (contracts: readonly Contract[]) => contracts.map(({ id }) => id);

function totalPrice(offer: Offer, diskGB: number): number {
  return offer.gpuPricePerHour + (offer.diskUsdPerGBMonth * diskGB) / 720;
}

function cancelled(why: string): UserError {
  return new UserError("VL_CANCELLED", { what: "the operation was cancelled", why, hint: "run the command again" });
}

function unproven(left: Contract[]): UserError {
  const ids = left.map(({ id }) => id).join(", ");
  return new UserError("VL_DESTROY_UNPROVEN", {
    what: `the market still shows contract ${ids} ${PROOF_MS / 1000} s after it was told to destroy it`,
    why: `it bills $${left.reduce((sum, it) => sum + it.gpuPricePerHour + it.diskPricePerHour, 0).toFixed(3)}/h until it is gone`,
    hint: `run the command again; if it persists, destroy ${ids} in the market's console`,
  });
}

function unread(ids: readonly number[], fault: unknown): UserError {
  return new UserError("VL_DESTROY_UNPROVEN", {
    what: `contract ${ids.join(", ")} was told to go, but the market's list cannot be read to see whether it is gone`,
    why: fault instanceof UserError ? (fault.why ?? fault.what) : messageOf(fault),
    hint: "run the command again; until it succeeds, take it that the machine bills",
    cause: fault,
  });
}

/** A rent was sent and the market's list cannot be read: said aloud, because a machine may bill. */
function unseen(fault: unknown, contractId: number | undefined): unknown {
  if (!(fault instanceof UserError)) return fault;
  const rented = contractId === undefined ? "a machine may have been rented" : `contract ${contractId} was rented`;
  return new UserError(fault.code, {
    what: `a rent was sent, and then ${fault.what}`,
    why: `${rented}, and bills under this stack's label\n${fault.why ?? ""}`,
    hint: "run the command again to go on with it, or `vastlane destroy` to end it",
    cause: fault,
  });
}
