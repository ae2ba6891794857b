/** `/_emulator/`: the hand of fate. Served on loopback only, to the key of the emulator's own account. */
import { Bug } from "../../../common/errors.ts";
import { creditOf, ratePerHour, usdOf } from "../../billing/billing.ts";
import { FAULT_KINDS, type FaultName, isFaultName, MACHINE_FAULTS } from "../../faults/kinds.ts";
import { PHASES } from "../../market/contracts.ts";
import { listingsFor, strangersBid } from "../../market/listing.ts";
import { round } from "../../market/random.ts";
import { DOCKER_ERROR } from "../../market/rent.ts";
import { playStep, settle } from "../../market/settle.ts";
import { createAccount, slotOf, slotRecord, type World } from "../../market/world.ts";
import type { ContractRecord } from "../../state/records.ts";
import { ApiError, type Call, del, get, ok, post, type Reply, type Route } from "../route.ts";

const admin = { scope: "open", call: "other" } as const;

/** Open here: the server lets only the key of the market's first account come this far. */
export function adminRoutes(): Route[] {
  return [
    get("/_emulator/status/", admin, "emulator.status", status),
    get("/_emulator/journal/", admin, "emulator.journal", journal),
    get("/_emulator/contracts/", admin, "emulator.contracts", contracts),
    post("/_emulator/preempt/", admin, "emulator.preempt", preempt),
    post("/_emulator/outbid/", admin, "emulator.outbid", outbid),
    post("/_emulator/offline/", admin, "emulator.offline", offline),
    post("/_emulator/fault/", admin, "emulator.fault", addFault),
    del("/_emulator/fault/", admin, "emulator.fault.clear", clearFaults),
    get("/_emulator/fault/", admin, "emulator.fault.list", listFaults),
    post("/_emulator/clock/", admin, "emulator.clock", moveClock),
    post("/_emulator/credit/", admin, "emulator.credit", setCredit),
    post("/_emulator/account/", admin, "emulator.account", addAccount),
    post("/_emulator/s3/keys/", admin, "emulator.s3.keys", s3Keys),
    post("/_emulator/stop/", admin, "emulator.stop", () => ok({ success: true })),
  ];
}

function status({ world, t }: Call): Reply {
  const alive = living(world);
  const perHour = alive.reduce((sum, one) => sum + total(one), 0);
  const account = firstAccount(world);
  return ok({
    pid: process.pid,
    seed: world.options.seed,
    calm: world.options.calm,
    speed: world.clock.speed,
    loadingSeconds: world.options.loadingSeconds,
    time: t,
    birth: world.market.birth,
    mode: world.machines.mode,
    accountId: account.id,
    credit: round(creditOf(world, account.id), 6),
    offers: listingsFor(world, account.id, t).length,
    contracts: alive.length,
    billingPerHour: round(perHour, 6),
    s3: world.s3?.usage() ?? null,
    faults: world.faults.list(),
  });
}

function journal({ world, query }: Call): Reply {
  return ok({ lines: world.store.journal(Number(query.get("since") ?? 0)) });
}

function contracts({ world }: Call): Reply {
  return ok({
    contracts: world.contracts.values().map((one) => ({
      id: one.id,
      accountId: one.accountId,
      machineId: one.machineId,
      offerId: one.offerId,
      label: one.label,
      phase: one.phase,
      stopCause: one.stopCause,
      isBid: one.isBid,
      offline: one.offline !== null,
      gpu: slotOf(world, one.slot).machine.gpu.name,
      gpuPricePerHour: one.gpuPricePerHour,
      pricePerHour: round(total(one), 6),
      costUsd: round(usdOf(one.total), 8),
      createdAt: one.createdAt,
      destroyedAt: one.destroyedAt,
      isMachineRunning: world.machines.isRunning(one.id),
    })),
  });
}

/** A stranger rents the GPUs on demand, for `seconds` or until `release: true`. */
function preempt(call: Call): Reply {
  const { world, body } = call;
  const contract = contractById(call);
  if (!contract.isBid)
    throw new ApiError(
      400,
      "invalid_args",
      `contract ${contract.id} is on demand: nobody can displace it (use offline, or a fault)`,
    );
  const record = slotRecord(world, contract.slot);
  const seconds = numberOrNull(body.seconds);
  record.renter = body.release === true ? null : { until: seconds === null ? null : call.t + seconds };
  world.slots.save(contract.slot, record);
  return after(call, contract);
}

/** A stranger bids more: `price`, else a tenth more than the contract; a price of 0 takes the bid back. */
function outbid(call: Call): Reply {
  const { world, body } = call;
  const contract = contractById(call);
  if (!contract.isBid)
    throw new ApiError(400, "invalid_args", `contract ${contract.id} is on demand: nobody can outbid it`);
  const record = slotRecord(world, contract.slot);
  const floor = strangersBid(world, slotOf(world, contract.slot), call.t);
  const price =
    numberOrNull(body.price) ??
    round(Math.max(floor, contract.gpuPricePerHour * 1.1, contract.gpuPricePerHour + 0.001), 4);
  const seconds = numberOrNull(body.seconds);
  record.rival = price <= 0 ? null : { price, until: seconds === null ? null : call.t + seconds };
  world.slots.save(contract.slot, record);
  return after(call, contract);
}

function offline(call: Call): Reply {
  const { world, body } = call;
  const machineId = numberOrNull(body.machineId) ?? contractById(call).machineId;
  if (!world.catalogue.machines.some((machine) => machine.id === machineId))
    throw new ApiError(404, "not_found", `no machine ${machineId}`);
  const seconds = numberOrNull(body.seconds);
  if (body.online === true) world.hosts.remove(machineId);
  else
    world.hosts.save(machineId, {
      machineId,
      offlineUntil: seconds === null ? null : call.t + seconds,
      crash: body.crash === true,
    });
  playStep(world, call.t);
  return ok({ success: true, machineId });
}

function addFault(call: Call): Reply {
  const { world, body } = call;
  const { kind, count, seconds, ...params } = body;
  if (!isFaultName(kind))
    throw new ApiError(
      400,
      "invalid_args",
      `unknown fault ${JSON.stringify(kind)}; known: ${Object.keys(FAULT_KINDS).join(", ")}`,
    );
  if (kind === "host-offline") return offline(call);
  if (params.id !== undefined) return faultOfContract(call, kind);
  const fault = world.faults.add(kind, {
    params,
    ...optionalNumber("count", count),
    ...optionalNumber("seconds", seconds),
  });
  world.note("fault", { fault: kind, ...params });
  return ok({ success: true, fault });
}

/** Faults of a contract that exists: those of its machine at once, those of its start at the next one. */
function faultOfContract(call: Call, kind: FaultName): Reply {
  const { world } = call;
  const contract = contractById(call);
  const machineFault = MACHINE_FAULTS.find((one) => one === kind);
  if (machineFault) contract.machineFault = machineFault;
  else if (kind === "start-error") contract.startError = String(call.body.text ?? DOCKER_ERROR);
  else if (kind === "stuck-loading") contract.readyAt = null;
  else throw new ApiError(400, "invalid_args", `fault ${kind} is not about one contract: leave id out`);
  world.contracts.save(contract.id, contract);
  world.note("fault", { fault: kind, contractId: contract.id });
  world.poke(contract.id);
  return ok({ success: true });
}

/** All faults, or those of one kind, also where machines play them. */
function clearFaults(call: Call): Reply {
  const { world } = call;
  const kind = call.query.get("kind") ?? (call.body.kind === undefined ? undefined : String(call.body.kind));
  for (const contract of living(world)) {
    if (contract.machineFault === null || (kind !== undefined && contract.machineFault !== kind)) continue;
    contract.machineFault = null;
    world.contracts.save(contract.id, contract);
    world.poke(contract.id);
  }
  return ok({ success: true, removed: world.faults.clear(kind) });
}

function listFaults({ world }: Call): Reply {
  return ok({ faults: world.faults.list(), kinds: FAULT_KINDS });
}

function moveClock(call: Call): Reply {
  const { world, body } = call;
  const advance = numberOrNull(body.advanceSeconds);
  const speed = numberOrNull(body.speed);
  if (advance !== null) world.clock.advance(advance);
  if (speed !== null) {
    world.clock.setSpeed(speed);
    world.market.speed = speed;
  }
  return ok({ success: true, time: settle(world), speed: world.clock.speed });
}

/** Sets the credit of an account (the first unless `accountId` says which). */
function setCredit(call: Call): Reply {
  const { world, body } = call;
  const account = body.accountId === undefined ? firstAccount(world) : world.accounts.get(Number(body.accountId));
  const usd = numberOrNull(body.usd);
  if (!account || usd === null) throw new ApiError(400, "invalid_args", "usd (and a known accountId) is required");
  account.deposited += usd - creditOf(world, account.id);
  world.accounts.save(account.id, account);
  world.note("credit", { accountId: account.id, usd });
  return ok({ success: true, credit: round(creditOf(world, account.id), 6) });
}

function addAccount({ world, body }: Call): Reply {
  const { account, key } = createAccount(world, String(body.name ?? "other"));
  return ok({ success: true, accountId: account.id, apiKey: key.key });
}

/** Keys that reach one prefix of one bucket of the store: what a run's machine may hold. */
function s3Keys({ world, body }: Call): Reply {
  const { bucket, prefix } = body;
  if (!world.s3) throw new ApiError(400, "invalid_args", "this emulator has no store");
  if (typeof bucket !== "string" || bucket === "" || typeof prefix !== "string")
    throw new ApiError(400, "invalid_args", "bucket and prefix are required");
  return ok(world.s3.keyFor(bucket, prefix));
}

function after(call: Call, contract: ContractRecord): Reply {
  playStep(call.world, call.t);
  return ok({ success: true, id: contract.id, phase: contract.phase });
}

function contractById({ world, body }: Call): ContractRecord {
  const contract = world.contracts.get(Number(body.id));
  if (!contract || !PHASES[contract.phase].exists)
    throw new ApiError(404, "no_such_instance", `no contract ${JSON.stringify(body.id)} exists`);
  return contract;
}

function living(world: World): ContractRecord[] {
  return world.contracts.values().filter((one) => PHASES[one.phase].exists);
}

function firstAccount(world: World) {
  const [account] = world.accounts.values();
  if (!account) throw new Bug("a market without an account");
  return account;
}

function total(contract: ContractRecord): number {
  const { gpu, disk } = ratePerHour(contract);
  return gpu + disk;
}

function numberOrNull(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  const number = Number(value);
  if (Number.isNaN(number)) throw new ApiError(400, "invalid_args", `not a number: ${JSON.stringify(value)}`);
  return number;
}

function optionalNumber<N extends string>(name: N, value: unknown): Partial<Record<N, number>> {
  const number = numberOrNull(value);
  return number === null ? {} : ({ [name]: number } as Record<N, number>);
}
