/**
 * Renting: from an offer id and the body of a create request to a contract, or a refusal with the market's own
 * words. Source: vast-api.md 3. What is refused leaves nothing behind, except where `contract` is set.
 */
import { randomBytes } from "node:crypto";
import { creditOf, noCost } from "../billing/billing.ts";
import { MACHINE_FAULTS } from "../faults/kinds.ts";
import type { AccountRecord, ContractRecord } from "../state/records.ts";
import { contest } from "./bids.ts";
import type { Phase } from "./contracts.ts";
import { noteContract, relist } from "./lifecycle.ts";
import { findListing, type Listing, machineEnd, wasListed } from "./listing.ts";
import { round } from "./random.ts";
import type { RentRequest } from "./rent-request.ts";
import { createKey, slotRecord, type World } from "./world.ts";

export interface Refusal {
  status: number;
  error: string;
  msg: string;
  askId: number;
  /** A stopped contract that the refused request left behind; it is charged for its disk. */
  contract?: ContractRecord;
}

export type RentResult = { contract: ContractRecord } | { refusal: Refusal };

/** Leaves: a contract that bills, with or without a refusal. */
export function rent(
  world: World,
  account: AccountRecord,
  offerId: number,
  request: RentRequest,
  t: number,
): RentResult {
  const refuse = (status: number, error: string, msg: string): RentResult => ({
    refusal: { status, error, msg, askId: offerId },
  });
  if (creditOf(world, account.id) <= 0 || world.faults.active("no-credit")) {
    return refuse(400, "insufficient_credit", "Your account lacks credit; see the billing page.");
  }
  const taken = world.faults.take("offer-taken", ({ offerId: only }) => only === undefined || Number(only) === offerId);
  const listing = findListing(world, offerId, account.id, t);
  if (taken && listing) letStrangerRent(world, listing.slot.index);
  if (taken || !listing) {
    const isRace = request.cancelUnavail && (taken !== undefined || wasListed(world, offerId, t));
    const status = Number(taken?.status ?? (isRace ? 410 : 404));
    return status === 410
      ? refuse(410, "no_such_ask", `error 410/3907: no_such_ask Instance type ${offerId} is no longer available.`)
      : refuse(
          status,
          status === 400 ? "no_such_ask" : "invalid_args",
          `error ${status}/3603: no_such_ask Instance type by id ${offerId} is not available.`,
        );
  }
  if (request.diskGB > listing.slot.machine.disk.spaceGB) {
    return refuse(
      400,
      "invalid_args",
      `error 400/3467: Invalid args: disk ${request.diskGB} is more than the offer's ${listing.slot.machine.disk.spaceGB} GB`,
    );
  }
  const broken = world.faults.take("error-with-contract");
  if (broken) {
    const contract = makeContract(world, account, listing, request, t, "refused");
    const refused = refuse(
      Number(broken.status ?? 400),
      "invalid_args",
      `error 400/3711: could not start contract on ask ${offerId}`,
    );
    return withContract(refused, contract);
  }
  if (request.bid !== null && request.bid < listing.minBid) {
    const refused = refuse(
      400,
      "invalid_price",
      `error 400/3520: bid ${request.bid} is below the current minimum bid ${listing.minBid}.`,
    );
    if (request.cancelUnavail) return refused;
    return withContract(refused, makeContract(world, account, listing, request, t, "refused"));
  }
  const contract = makeContract(world, account, listing, request, t, request.targetStopped ? "stopped" : "requested");
  contest(world, contract.slot, t); // a renter on demand or a higher bid displaces whoever bids here
  return { contract };
}

function withContract(result: RentResult, contract: ContractRecord): RentResult {
  return "refusal" in result ? { refusal: { ...result.refusal, contract } } : result;
}

function makeContract(
  world: World,
  account: AccountRecord,
  listing: Listing,
  request: RentRequest,
  t: number,
  phase: Phase,
): ContractRecord {
  const { slot } = listing;
  const { machine } = slot;
  const id = world.market.nextContractId++;
  const key = createKey(world, account.id, `instance ${id}`, null, id);
  const isStuck = world.faults.take("stuck-loading", (params) => params.id === undefined) !== undefined;
  const startError = world.faults.take("start-error", (params) => params.id === undefined);
  const lag = world.faults.active("read-lag");
  const contract: ContractRecord = {
    id,
    accountId: account.id,
    slot: slot.index,
    machineId: machine.id,
    offerId: listing.offerId,
    label: request.label,
    phase,
    stopCause: phase === "stopped" ? "user" : null,
    statusMsg: null,
    isBid: request.bid !== null,
    gpuPricePerHour: request.bid ?? listing.price,
    storageCost: machine.storageCost,
    inetUpCost: machine.inetUpCost,
    inetDownCost: machine.inetDownCost,
    diskGB: request.diskGB,
    image: request.image,
    env: request.env,
    onstart: request.onstart,
    args: request.args,
    runtype: request.runtype,
    templateHash: request.templateHash,
    createdAt: t,
    endDate: machineEnd(world, machine),
    readyAt: isStuck ? null : t + world.options.loadingSeconds,
    upAt: null,
    power: { generation: 1, wipe: false },
    upGeneration: 0,
    offline: null,
    machineFault: MACHINE_FAULTS.find((kind) => world.faults.take(kind, (params) => params.id === undefined)) ?? null,
    startError: startError ? String(startError.text ?? DOCKER_ERROR) : null,
    sshKeys: world.sshKeys
      .values()
      .filter((one) => one.accountId === account.id && one.deletedAt === null)
      .map(({ id: keyId, key: text }) => ({ id: keyId, key: text })),
    jupyterToken: randomBytes(32).toString("hex"),
    apiKey: key.key,
    ports: {},
    proxyPort: null,
    billedAt: t,
    openSince: t,
    open: noCost(),
    total: noCost(),
    counted: { received: 0, sent: 0 },
    hiddenUntil: lag ? t + Number(lag.lag ?? 5) : 0,
    destroyedAt: null,
  };
  world.contracts.save(id, contract);
  if (phase === "requested") relist(world, slot.index);
  noteContract(world, contract, "rent", {
    gpu: machine.gpu.name,
    gpus: slot.gpuIds.length,
    isBid: contract.isBid,
    gpuPricePerHour: round(contract.gpuPricePerHour, 6),
    diskGB: contract.diskGB,
    phase,
  });
  world.poke(id);
  return contract;
}

/** A stranger was quicker: the offer is gone for an hour. */
function letStrangerRent(world: World, slotIndex: number): void {
  relist(world, slotIndex);
  const record = slotRecord(world, slotIndex);
  record.renter = { until: world.clock.now() + 3600 };
  world.slots.save(slotIndex, record);
}

/** What Docker says when a container cannot be started. */
export const DOCKER_ERROR =
  "Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init";
