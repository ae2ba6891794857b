/**
 * Brings a recorded machine back to what the configuration says, with as little change as will do:
 * start it, raise or lower its bid, restore its label; end it and rent another one only where nothing else helps.
 * The decision is a pure table; the actions are those of lifecycle.ts.
 */
import { hasCode, UserError } from "../../common/errors.ts";
import type { StackConfig } from "../config.ts";
import { formatLabel, newNonce, parseLabel } from "./label.ts";
import {
  type Deps,
  type Existing,
  endContracts,
  findOffers,
  isStillAskedFor,
  type MachineSpec,
  NotReadyError,
  obtain,
  type ReadyMachine,
} from "./lifecycle.ts";
import { userErrorOf } from "./market-messages.ts";
import { describeSituation, type Situation, situationOf } from "./situation.ts";
import type { Contract, Offer } from "./wire.ts";

export interface Wanted {
  spec: MachineSpec;
  rental: StackConfig["rental"];
  /** Checkpoints go to a store; without one, what a machine has done is on its disk alone. */
  hasStore: boolean;
}

export interface Recorded {
  contractId: number | null;
  /** The bid that was placed; restored when somebody changed it by hand. */
  bidPerHour: number | null;
  /** What was seen of it last; "not-ready": SSH did not answer then. */
  observed: string;
  /** Pinned when it was ready for the first time. */
  hostKeys: string[];
}

export type Repair =
  | { act: "keep" } // nothing, or wait until it runs
  | { act: "start" }
  | { act: "raise"; bidPerHour: number }
  | { act: "hold"; why: string } // outbid: leave it, its disk bills
  | { act: "replace"; why: string };

/** What to do about a contract in a situation. `hasCopy`: what its disk holds is elsewhere as well, or nothing. */
export function decideRepair(
  situation: Situation,
  contract: Contract | undefined,
  rental: StackConfig["rental"],
  hasCopy: boolean,
): Repair {
  switch (situation) {
    case "running":
    case "pending":
      return { act: "keep" };
    case "stopped":
      return { act: "start" };
    case "outbid":
      return decideOutbid(contract, rental, hasCopy);
    case "gone":
    case "failed":
    case "offline":
      return { act: "replace", why: describeSituation(situation) };
  }
}

function decideOutbid(contract: Contract | undefined, rental: StackConfig["rental"], hasCopy: boolean): Repair {
  const floor = contract?.minBidPerHour ?? Number.POSITIVE_INFINITY;
  const limit = rental.maxPricePerHour - (contract?.diskPricePerHour ?? 0);
  // A bid in figures was meant: it is not raised.
  const cap = rental.bid === "auto" ? limit : Math.min(limit, rental.bid);
  // A little over the floor, or the next rival's cent takes it away again.
  const raised = Math.min(Math.ceil(floor * 1.05 * 1000) / 1000, cap);
  const isAffordable = floor <= cap;
  const replace: Repair = { act: "replace", why: `outbid: the machine now costs $${floor.toFixed(3)}/h` };
  const raise: Repair = { act: "raise", bidPerHour: raised };
  const hold: Repair = { act: "hold", why: holdReason(rental, hasCopy) };
  return {
    wait: hold,
    raise: isAffordable ? raise : hold,
    replace,
    auto: isAffordable ? raise : hasCopy ? replace : hold,
  }[rental.onOutbid];
}

/** Without a store a machine that could still come back is never given up on our own account. */
function holdReason({ onOutbid }: StackConfig["rental"], hasCopy: boolean): string {
  return onOutbid === "auto" && !hasCopy
    ? "onOutbid: auto, and without a checkpoint store its disk is the only copy"
    : `onOutbid: ${onOutbid}`;
}

/** The bid that a running contract should have, or undefined when it is right: restored after a change by hand. */
export function wantedBid(
  contract: Contract,
  rental: StackConfig["rental"],
  recordedBid: number | null,
): number | undefined {
  if (!contract.isBid) return undefined;
  const cap = rental.maxPricePerHour - contract.diskPricePerHour;
  const wanted = Math.min(rental.bid === "auto" ? (recordedBid ?? contract.gpuPricePerHour) : rental.bid, cap);
  return Math.abs(wanted - contract.gpuPricePerHour) > 5e-4 ? wanted : undefined;
}

/**
 * Repairs, then waits until the machine is ready. `beforeEnd` asks the agent for a last checkpoint.
 * Leaves: the recorded contract or its replacement. @throws as `obtain`; UserError VL_NO_OFFER before anything ends.
 */
export async function reconcile(
  deps: Deps,
  wanted: Wanted,
  recorded: Recorded,
  beforeEnd: (contract: Contract) => Promise<void>,
): Promise<ReadyMachine> {
  const { spec, rental } = wanted;
  // What was never ready has done nothing that could be lost.
  const hasCopy = wanted.hasStore || recorded.hostKeys.length === 0;
  const contract = (await deps.contracts.fresh().catch((error) => Promise.reject(userErrorOf(error)))).find(
    ({ id }) => id === recorded.contractId,
  );
  if (contract) {
    const repair = isStillAskedFor(contract, spec, contract.id)
      ? decideRepair(situationOf(contract), contract, rental, hasCopy)
      : ({ act: "replace", why: "the configuration asks for another machine" } as const);
    await apply(deps, { ...wanted, hasCopy }, contract, repair, recorded, beforeEnd);
  }
  return obtain(deps, spec, existingOf(recorded));
}

function existingOf({ contractId, observed, hostKeys }: Recorded): Existing | undefined {
  return contractId === null ? undefined : { contractId, wasReady: hostKeys.length > 0 && observed !== "not-ready" };
}

async function apply(
  deps: Deps,
  wanted: Wanted & { hasCopy: boolean },
  contract: Contract,
  repair: Repair,
  recorded: Recorded,
  beforeEnd: (contract: Contract) => Promise<void>,
): Promise<void> {
  const { spec, rental } = wanted;
  if (repair.act === "replace") {
    deps.log(`contract ${contract.id} is replaced: ${repair.why}`);
    // Looked up first: a machine with work on its disk must not end for a request that nothing can fill.
    if (situationOf(contract) !== "failed") await assertSomethingFits(deps, spec, contract);
    await beforeEnd(contract);
    await endContracts(deps, [contract.id]);
    return;
  }
  const { scope, name } = parseLabel(contract.label) ?? {};
  if (scope !== spec.scope || name !== spec.name) {
    deps.log(`contract ${contract.id} has lost its label: restoring it`);
    await deps.api.setLabel(
      contract.id,
      formatLabel({ scope: spec.scope, name: spec.name, requestHash: spec.requestHash, nonce: newNonce() }),
    );
  }
  if (repair.act === "hold") {
    const floor = contract.minBidPerHour?.toFixed(3) ?? "?";
    throw new NotReadyError(
      contract,
      `outbid: it takes $${floor}/h now. As configured (${repair.why}) nothing is done; its disk bills $${contract.diskPricePerHour.toFixed(4)}/h`,
    );
  }
  const bid = repair.act === "raise" ? repair.bidPerHour : wantedBid(contract, rental, recorded.bidPerHour);
  if (bid !== undefined) {
    deps.log(`contract ${contract.id}: bid $${contract.gpuPricePerHour.toFixed(3)}/h -> $${bid.toFixed(3)}/h`);
    await deps.api.setBid(contract.id, bid);
  }
  if (repair.act === "start" || repair.act === "raise") await start(deps, wanted, contract);
}

/**
 * A start can be queued when the GPUs are taken; a queued start could bill at any later time, so it is called off.
 * Unless configured to wait, or its disk is the only copy, the machine is given up: its stopped disk ends with it and another one is rented.
 */
async function start(
  deps: Deps,
  { spec, rental, hasCopy }: Wanted & { hasCopy: boolean },
  contract: Contract,
): Promise<void> {
  deps.log(`contract ${contract.id}: starting it`);
  try {
    await deps.api.setState(contract.id, "running");
    await untilStarted(deps, contract.id);
  } catch (error) {
    if (deps.signal.aborted) throw new NotReadyError(contract, "cancelled while the machine was being started");
    const readable = userErrorOf(error);
    if (!hasCode(readable, "VL_NO_OFFER")) throw readable;
    await deps.api.setState(contract.id, "stopped");
    if (rental.onOutbid === "wait" || (rental.onOutbid === "auto" && !hasCopy)) {
      throw new NotReadyError(
        contract,
        `its GPUs are rented by somebody else. As configured (${holdReason(rental, hasCopy)}) nothing is done; its disk bills $${contract.diskPricePerHour.toFixed(4)}/h`,
      );
    }
    await assertSomethingFits(deps, spec, contract);
    deps.log(`contract ${contract.id} cannot start, its GPUs are taken: replacing it`);
    await endContracts(deps, [contract.id]);
  }
}

/** A started contract keeps showing its old state for some seconds. */
async function untilStarted(deps: Deps, contractId: number): Promise<void> {
  const deadline = deps.clock.now() + 20_000;
  for (let wait = deps.poll.firstMs; deps.clock.now() < deadline; wait = Math.min(wait * 1.5, deps.poll.maxMs)) {
    const contract = (await deps.contracts.fresh()).find(({ id }) => id === contractId);
    const situation = situationOf(contract);
    if (situation === "running" || situation === "pending" || situation === "gone") return;
    await deps.clock.sleep(wait, deps.signal);
  }
}

async function assertSomethingFits(deps: Deps, spec: MachineSpec, contract: Contract): Promise<void> {
  const isTaken = ({ id, machineId }: Offer) => deps.reserved.has(id) || deps.badMachines.has(machineId);
  if ((await findOffers(deps.api, spec.request, isTaken)).candidates.length > 0) return;
  throw new UserError("VL_NO_OFFER", {
    what: `nothing on the market could replace ${spec.name}`,
    why: `contract ${contract.id} was left as it is: ${describeSituation(situationOf(contract))}`,
    hint: "see `npx vastlane offers`, or undo the change of the configuration",
  });
}
