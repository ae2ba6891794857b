/**
 * Rent, adopt, wait and destroy: the only code that can make a machine bill or stop billing. The provider, the CLI,
 * the watcher and the tests all come through here; it knows nothing of Pulumi.
 *
 * Safety rests on four rules. Whatever is rented carries a label that says whose it is, written down before the rent.
 * Whoever comes later looks for labels first. Nobody rents for an engine that is gone. And "gone" is only what a
 * complete list of the right account does not show.
 */
import type { Clock } from "../../common/clock.ts";
import { messageOf, UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { SshFailure } from "../ssh/failure.ts";
import type { MarketApi } from "./api.ts";
import type { BadMachines } from "./bad-machines.ts";
import type { Intents } from "./intents.ts";
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
  onstart: string;
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
  /** Offers that this process is renting now, so that parallel rents choose different ones. */
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

/**
 * A running machine with answering SSH for this spec: adopted when ours is there, rented otherwise; machines that
 * fail to come up are ended and the next offer is tried, at most three times.
 * Leaves: one contract when it returns or throws NotReadyError; none otherwise, but for what a crash leaves under
 * our label. @throws UserError VL_NO_OFFER, VL_NO_CREDIT, VL_NOT_READY, VL_CANCELLED; NotReadyError.
 */
export async function obtain(deps: Deps, spec: MachineSpec): Promise<ReadyMachine> {
  const failures: string[] = [];
  while (failures.length < MACHINE_TRIES) {
    const contract = await rentOrAdopt(deps, spec);
    const outcome = await waitUntilReady(deps, spec, contract);
    if ("hostKeys" in outcome) return outcome;
    deps.log(`contract ${contract.id} is no use: ${outcome.failure}`);
    failures.push(`contract ${contract.id} on machine ${contract.machineId}: ${outcome.failure}`);
    if (outcome.isMachineBad && contract.machineId !== null) deps.badMachines.add(contract.machineId, outcome.failure);
    await endContracts(deps, [contract.id]);
  }
  throw new UserError("VL_NOT_READY", {
    what: `${MACHINE_TRIES} machines in a row did not become usable; all were ended, nothing bills`,
    why: failures.map((failure) => `\n    ${failure}`).join(""),
    hint: "run the command again, or ask for more reliable machines (vastlane:gpu.minReliability, verified, minDownMbps)",
  });
}

/** Ours if there is one that still is what was asked for, else a new one. Contracts of an older request are ended. */
export async function rentOrAdopt(deps: Deps, spec: MachineSpec): Promise<Contract> {
  const ours = await listOurs(deps, spec.scope, spec.name);
  // What the market shows is no longer an open question of a killed run.
  for (const { label } of ours) if (label) deps.intents.clear(label);
  const { keep, end } = chooseAdoption(ours, spec);
  await endContracts(
    deps,
    end.map(({ id }) => id),
  );
  if (!keep) return rentNew(deps, spec);
  deps.log(`adopting contract ${keep.id} (${describeSituation(situationOf(keep))})`);
  return keep;
}

/** Of the contracts under one name: the oldest that still is what is asked for is kept, every other one ends. */
export function chooseAdoption(
  ours: readonly Contract[],
  spec: Pick<MachineSpec, "requestHash" | "request">,
): { keep: Contract | undefined; end: Contract[] } {
  const keep = [...ours]
    .sort((a, b) => a.id - b.id)
    .find(
      (it) =>
        parseLabel(it.label)?.requestHash === spec.requestHash &&
        stillFits(it, spec.request) &&
        !USELESS.has(situationOf(it)),
    );
  return { keep, end: ours.filter((contract) => contract !== keep) };
}

/** Situations in which a machine is not worth adopting. */
const USELESS = new Set<Situation>(["failed", "offline"]);

/** Contracts of a scope, or of one instance in it. */
export async function listOurs(deps: Pick<Deps, "contracts">, scope: string, name?: string): Promise<Contract[]> {
  const all = await readList(deps);
  return all.filter(({ label }) => {
    const parts = parseLabel(label);
    return parts?.scope === scope && (name === undefined || parts.name === name);
  });
}

/** What the market offers for a request, best first. Two cheap pages are enough to rank; the market caps a page at 64. */
export async function findOffers(
  api: Pick<MarketApi, "searchOffers">,
  request: RentRequest,
  isTaken?: (offer: Offer) => boolean,
): Promise<RentPlan> {
  try {
    return planRent(request, await api.searchOffers(searchQuery(request)), undefined, isTaken);
  } catch (error) {
    throw userErrorOf(error);
  }
}

/** Every rentable offer, by paging over the price: for explaining why nothing fits. */
export async function allOffers(
  api: Pick<MarketApi, "searchOffers">,
  request: RentRequest,
  maxPages = 10,
): Promise<Offer[]> {
  const offers = new Map<number, Offer>();
  let fromPrice: number | undefined;
  for (let page = 0; page < maxPages; page++) {
    const query = { ...baseQuery(request), ...(fromPrice !== undefined && { dph_total: { gte: fromPrice } }) };
    const rows = await api.searchOffers(query);
    const before = offers.size;
    for (const row of rows) offers.set(row.id, row);
    if (offers.size === before || rows.length < 64) break;
    const last = rows.at(-1);
    if (last) fromPrice = totalPrice(last, request.diskGB);
  }
  return [...offers.values()];
}

/**
 * Ends contracts and proves it: DELETE, then looks until a complete list no longer shows them.
 * @throws UserError VL_DESTROY_UNPROVEN when the market still shows one after 90 s.
 */
export async function endContracts(deps: Deps, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return;
  await deps.point("destroy-intended");
  // A person or a dying provider may wait: ending must not depend on the operation still being wanted.
  await Promise.all(ids.map((id) => deps.api.destroy(id).catch((error) => Promise.reject(userErrorOf(error)))));
  await deps.point("destroy-sent");
  const deadline = deps.clock.now() + PROOF_MS;
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const left = (await readList(deps)).filter(({ id }) => ids.includes(id));
    if (left.length === 0) break;
    if (deps.clock.now() > deadline) throw unproven(left);
    await deps.clock.sleep(wait);
    // Some markets accept a DELETE and forget it; repeating it is harmless.
    if (wait >= deps.poll.maxMs) await Promise.all(left.map(({ id }) => deps.api.destroy(id).catch(() => undefined)));
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
  const ended: number[] = [];
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const ours = await listOurs(deps, scope);
    await endContracts(
      deps,
      ours.map(({ id }) => id),
    );
    ended.push(...ours.map(({ id }) => id));
    for (const { label } of ours) if (label) deps.intents.clear(label);
    const open = deps.intents.of(scope).filter(({ at }) => deps.clock.now() - at < SETTLE_MS);
    if (open.length === 0) break;
    deps.log(`a rent of the last ${SETTLE_MS / 1000} s has no answer yet: looking again`);
    await deps.clock.sleep(Math.max(wait, 250));
  }
  for (const { label } of deps.intents.of(scope)) deps.intents.clear(label);
  await deps.point("sweep-done");
  return ended;
}

async function rentNew(deps: Deps, spec: MachineSpec): Promise<Contract> {
  const failed = new Set<number>();
  for (let attempt = 0; attempt < RENT_TRIES; attempt++) {
    const isTaken = (offer: Offer) =>
      failed.has(offer.id) || deps.reserved.has(offer.id) || deps.badMachines.has(offer.machineId);
    const candidate = (await findOffers(deps.api, spec.request, isTaken)).candidates.find(
      ({ offer }) => !isTaken(offer),
    );
    if (!candidate) throw noOfferError(spec.request, await allOffers(deps.api, spec.request), isTaken);
    deps.reserved.add(candidate.offer.id);
    try {
      const contract = await rentOffer(deps, spec, candidate);
      if (contract) return contract;
    } finally {
      deps.reserved.delete(candidate.offer.id);
    }
    failed.add(candidate.offer.id);
    await deps.assertWanted();
  }
  throw new UserError("VL_NO_OFFER", {
    what: `${RENT_TRIES} offers in a row were taken while they were being rented`,
    why: "others rent from the same part of the market right now",
    hint: "run the command again, or widen vastlane:gpu",
  });
}

/** One try at one offer. Undefined: the offer was lost, take the next one; nothing is left billing. */
async function rentOffer(
  deps: Deps,
  spec: MachineSpec,
  { offer, bidPerHour, pricePerHour }: Candidate,
): Promise<Contract | undefined> {
  const label = formatLabel({ scope: spec.scope, name: spec.name, requestHash: spec.requestHash, nonce: newNonce() });
  deps.intents.write({ label, offerId: offer.id, at: deps.clock.now() });
  await deps.point("rent-intended");
  await deps.assertWanted().catch((error) => {
    deps.intents.clear(label); // nothing was sent
    throw error;
  });
  deps.log(
    `renting ${offer.gpuCount}x ${offer.gpuName} in ${offer.geolocation} at $${pricePerHour.toFixed(3)}/h (offer ${offer.id})`,
  );
  const sent = deps.api.rent(offer.id, {
    image: spec.image,
    diskGB: spec.request.diskGB,
    bidPerHour,
    label,
    onstart: spec.onstart,
    env: spec.env,
  });
  sent.catch(() => undefined); // handled below; a crash point may come first
  await deps.point("rent-sent");
  let contractId: number | undefined;
  try {
    contractId = await sent;
  } catch (error) {
    if (!(error instanceof MarketError)) throw error;
    if (error.createdContractId !== undefined) {
      deps.log(`the market refused the rent but left contract ${error.createdContractId}: ending it`);
      await endContracts(deps, [error.createdContractId]);
    }
    if (!MAY_HAVE_RENTED.has(error.kind)) {
      deps.intents.clear(label);
      if (!LOST_OFFER.has(error.kind)) throw userErrorOf(error);
      deps.log(`offer ${offer.id} is gone (${error.kind}): taking the next`);
      return undefined;
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
): Promise<Contract | undefined> {
  const deadline = deps.clock.now() + SETTLE_MS;
  for (let wait = Math.min(deps.poll.firstMs, 300); ; wait = Math.min(wait * 1.5, 3000)) {
    const ours = await listOurs(deps, spec.scope, spec.name);
    const rented = ours.find((contract) => contract.label === label || contract.id === contractId);
    const known = contractId ?? rented?.id;
    if (known !== undefined && (await deps.isOrphaned())) {
      await endContracts(deps, [known]);
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
      const { keep, end } = chooseAdoption(ours, spec);
      await endContracts(
        deps,
        end.map(({ id }) => id),
      );
      await deps.point("rent-recorded");
      return keep ?? rented;
    }
    if (deps.clock.now() > deadline) {
      if (contractId === undefined) {
        deps.intents.clear(label);
        return undefined;
      }
      // Answered with an id, then never shown: ended blindly, because an unseen machine may bill.
      await endContracts(deps, [contractId]);
      deps.intents.clear(label);
      return undefined;
    }
    await deps.clock.sleep(wait);
  }
}

interface Failure {
  failure: string;
  /** The machine itself is to blame, not the market: it is avoided for a day. */
  isMachineBad: boolean;
}

/** Waits for a running container and answering SSH. A failure is returned, not thrown: the caller takes the next offer. */
async function waitUntilReady(deps: Deps, spec: MachineSpec, rented: Contract): Promise<ReadyMachine | Failure> {
  const limitMs = spec.loadingTimeoutMinutes * 60_000;
  let deadline = deps.clock.now() + limitMs;
  let message = rented.statusMessage;
  let contract: Contract | undefined = rented;
  let isKeyAttached = false;
  let last = "";
  for (let wait = deps.poll.firstMs; ; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const situation = situationOf(contract);
    if (situation !== last) deps.log(`contract ${rented.id}: ${describeSituation(situation)}`);
    last = situation;
    if (contract && situation === "running" && contract.addresses.length > 0) {
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
        failure: `${describeSituation(situation)}${contract?.statusMessage ? `: ${contract.statusMessage}` : ""}`,
        isMachineBad: situation === "failed" || situation === "offline",
      };
    if (contract && contract.statusMessage !== message) {
      message = contract.statusMessage; // a big image that still moves is not stuck
      deadline = deps.clock.now() + limitMs;
    }
    if (deps.clock.now() > deadline)
      return {
        failure: `no progress in loading for ${spec.loadingTimeoutMinutes} min${message ? ` (${message})` : ""}`,
        isMachineBad: true,
      };
    try {
      await deps.clock.sleep(wait, deps.signal);
      await deps.assertWanted();
    } catch {
      await leave(deps, rented);
    }
    contract = (await readList(deps)).find(({ id }) => id === rented.id);
  }
}

/** Situations from which a machine that was never ready is not waited for. */
const NEVER_READY = new Set<Situation>(["gone", "stopped", "outbid", "failed", "offline"]);

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
    // Another machine would refuse the same key: kept, so that the next `up` with the right key goes on with it.
    if (error instanceof SshFailure && error.reason === "permission-denied")
      throw new NotReadyError(contract, error.message);
    return { failure: `SSH does not answer: ${messageOf(error)}`, isMachineBad: true };
  }
}

async function attachKey(deps: Deps, contractId: number, publicKey: string): Promise<void> {
  try {
    await deps.api.attachKey(contractId, publicKey);
  } catch (error) {
    // The account's own keys are on the machine from birth; if this one is missing, SSH says so below.
    deps.log(`the market did not take the SSH key: ${messageOf(error)}`);
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
