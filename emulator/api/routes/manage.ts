/** Changing contracts: start, stop, label, bid, reboot, recycle, update, destroy (vast-api.md 5). */
import { closeCharge, creditOf } from "../../billing/billing.ts";
import { canHaveGpus, contest } from "../../market/bids.ts";
import { PHASES } from "../../market/contracts.ts";
import { fire, noteContract } from "../../market/lifecycle.ts";
import { strangersBid } from "../../market/listing.ts";
import { round } from "../../market/random.ts";
import { bidOf, envOf, labelOf } from "../../market/rent-request.ts";
import { slotOf } from "../../market/world.ts";
import type { ContractRecord } from "../../state/records.ts";
import { instanceRow } from "../instance-row.ts";
import { ApiError, type Call, del, get, idParam, ok, put, type Reply, type Route } from "../route.ts";

const state = { scope: "instance_write", call: "state" } as const;
const destroy_ = { scope: "instance_write", call: "destroy" } as const;
const bid = { scope: "instance_write", call: "bid" } as const;
const look = { scope: "instance_read", call: "other" } as const;

export const manageRoutes: Route[] = [
  put("/api/v0/instances/:id/", state, "api.instance.update", changeOne, { threshold: 1, forInstanceKey: true }),
  put("/api/v0/instances/", state, "api.instances.update", changeMany, { threshold: 1 }),
  del("/api/v0/instances/:id/", destroy_, "api.instance.destroy", destroyOne, { threshold: 3, forInstanceKey: true }),
  del("/api/v0/instances/", destroy_, "api.instances.destroy", destroyMany, { threshold: 3 }),
  put("/api/v0/instances/reboot/:id/", state, "api.instance.reboot", reboot, { threshold: 1 }),
  put("/api/v0/instances/recycle/:id/", state, "api.instance.recycle", recycle, { threshold: 1 }),
  put("/api/v0/instances/bid_price/:id/", bid, "api.instance.bid_price", changeBid, { threshold: 5.5 }),
  put("/api/v0/instances/prepay/:id/", state, "api.instance.prepay", prepay, { threshold: 2 }),
  put("/api/v0/instances/update_template/:id/", state, "api.instance.update_template", updateTemplate),
  get("/api/v0/instances/balance/:id/", look, "api.instance.balance", balance, { threshold: 3 }),
  get("/api/v0/instances/pending-price-increases/", look, "api.price_increases", noIncreases),
  put("/api/v0/instances/accept-price-increase/", state, "api.price_increase.accept", noSuchIncrease),
  put("/api/v0/instances/reject-price-increase/", state, "api.price_increase.reject", noSuchIncrease),
];

const MAX_BID_PER_GPU = 32;

/** The caller's contract. @throws ApiError 404 `no_such_instance`; 403 for somebody else's. */
export function contractOf(call: Call, id: number): ContractRecord {
  const contract = call.world.contracts.get(id);
  if (!contract || !PHASES[contract.phase].exists)
    throw new ApiError(404, "no_such_instance", `error 404/3311: no_such_instance Instance ${id} does not exist.`);
  if (contract.accountId !== call.account.id)
    throw new ApiError(403, "not_authorized", `error 403: instance ${id} is not your own`);
  return contract;
}

function changeOne(call: Call): Reply {
  return change(call, contractOf(call, idParam(call)));
}

function change(call: Call, contract: ContractRecord): Reply {
  const { state, label } = call.body;
  if (state === undefined && label === undefined)
    throw new ApiError(400, "invalid_args", "error 400/3467: Invalid args: state or label is required");
  if (label !== undefined) {
    contract.label = labelOf(label);
    noteContract(call.world, contract, "label");
    call.world.contracts.save(contract.id, contract);
  }
  if (state === undefined) return ok({ success: true, msg: `label of instance ${contract.id} set` });
  if (state === "running") return start(call, contract);
  if (state === "stopped") return stop(call, contract);
  throw new ApiError(400, "invalid_args", `error 400/3467: Invalid args: unknown state ${JSON.stringify(state)}`);
}

function start(call: Call, contract: ContractRecord): Reply {
  const { world, t } = call;
  if (PHASES[contract.phase].holdsGpus && contract.phase !== "stopping" && contract.phase !== "exited")
    return ok({ success: true });
  if (creditOf(world, contract.accountId) <= 0 || world.faults.active("no-credit")) {
    throw new ApiError(400, "insufficient_credit", "Your account lacks credit; see the billing page.");
  }
  if (t >= contract.endDate)
    throw new ApiError(400, "invalid_args", `error 400: the rental of instance ${contract.id} has ended`);
  if (!canHaveGpus(world, contract, t)) {
    fire(world, contract, "gpus-taken", t);
    return ok({
      success: false,
      error: "resources_unavailable",
      msg: "Required resources are currently unavailable, state change queued.",
    });
  }
  fire(world, contract, "user-start", t, { kind: "start" });
  contest(world, contract.slot, t);
  return ok({ success: true });
}

function stop(call: Call, contract: ContractRecord): Reply {
  const { world, t } = call;
  fire(world, contract, "user-stop", t, { kind: "stop", stopCause: "user" });
  contest(world, contract.slot, t);
  return ok({ success: true });
}

function changeMany(call: Call): Reply {
  const ids = Array.isArray(call.body.ids) ? call.body.ids.map(Number) : [];
  if (ids.length === 0)
    throw new ApiError(400, "invalid_args", "error 400/3467: Invalid args: ids must be a list of instances");
  const { ids: _, ...body } = call.body;
  const contracts = ids.map((id) => contractOf(call, id));
  const replies = contracts.map(
    (contract) => change({ ...call, body }, contract).json as { success: boolean; msg?: string },
  );
  return ok(replies.find((reply) => !reply.success) ?? { success: true });
}

function destroyOne(call: Call): Reply {
  destroy(call, contractOf(call, idParam(call)));
  return ok({ success: true });
}

function destroyMany(call: Call): Reply {
  const ids = Array.isArray(call.body.instance_ids) ? call.body.instance_ids.map(Number) : [];
  if (ids.length === 0)
    throw new ApiError(400, "invalid_args", "error 400/3467: Invalid args: instance_ids must be a list of instances");
  for (const contract of ids.map((id) => contractOf(call, id))) destroy(call, contract);
  return ok({ success: true });
}

/** Ends all charges, revokes the key inside, gives the GPUs back. The machine goes behind the answer. */
function destroy(call: Call, contract: ContractRecord): void {
  const { world, t } = call;
  fire(world, contract, "destroy", t, { kind: "destroy" });
  for (const key of world.keys.values()) if (key.contractId === contract.id) world.keys.remove(key.id);
  contest(world, contract.slot, t);
}

function reboot(call: Call): Reply {
  return restart(call, "reboot");
}

/** The container is made anew: its disk is lost, the GPUs are kept. */
function recycle(call: Call): Reply {
  return restart(call, "recycle");
}

function restart(call: Call, event: "reboot" | "recycle"): Reply {
  const contract = contractOf(call, idParam(call));
  const isDone = fire(call.world, contract, event, call.t, { kind: event });
  return isDone
    ? ok({ success: true })
    : ok({ success: false, error: "invalid_state", msg: `instance ${contract.id} is not running` });
}

function changeBid(call: Call): Reply {
  const { world, t } = call;
  const contract = contractOf(call, idParam(call));
  // Undocumented for a fixed price; a 200 that says no is what the official client gets on with.
  if (!contract.isBid)
    return ok({ success: false, error: "invalid_args", msg: `instance ${contract.id} is not interruptible` });
  const slot = slotOf(world, contract.slot);
  const price = bidOf(call.body.price) ?? round(strangersBid(world, slot, t) * 1.05, 4);
  if (price > MAX_BID_PER_GPU * slot.gpuIds.length)
    throw new ApiError(400, "invalid_price", `error 400: Please set a bid price <= ${MAX_BID_PER_GPU} per GPU.`);
  closeCharge(world, contract); // what was used so far is charged at the old price
  contract.gpuPricePerHour = price;
  world.contracts.save(contract.id, contract);
  noteContract(world, contract, "bid", { bid: price });
  contest(world, contract.slot, t);
  return ok({ success: true });
}

function prepay(call: Call): Reply {
  const contract = contractOf(call, idParam(call));
  const amount = Number(call.body.amount);
  if (!(amount > 0)) throw new ApiError(400, "invalid_args", "error 400/3467: Invalid args: amount must be positive");
  if (amount > creditOf(call.world, call.account.id))
    return { status: 411, json: { success: false, msg: "Insufficient credit" } };
  const months = amount / Math.max(0.001, contract.gpuPricePerHour) / 720;
  return ok({ success: true, timescale: round(months, 4), discount_rate: 0.3 });
}

/** A new image, environment or start script: the container is made anew and its disk is lost. */
function updateTemplate(call: Call): Reply {
  const { world, t, body } = call;
  const contract = contractOf(call, idParam(call));
  if (typeof body.image === "string") contract.image = body.image;
  if (body.env !== undefined && body.env !== null) contract.env = envOf(body.env);
  if (typeof body.onstart === "string") contract.onstart = body.onstart;
  if (Array.isArray(body.args)) contract.args = body.args.map(String);
  if (typeof body.template_hash_id === "string") contract.templateHash = body.template_hash_id;
  world.contracts.save(contract.id, contract);
  fire(world, contract, "recycle", t, { kind: "recycle" });
  return ok({ success: true, updated_instance: instanceRow(world, contract, t, "single") });
}

function balance(call: Call): Reply {
  contractOf(call, idParam(call));
  return ok({ success: true, refundable_deposit: 0, total_discount: 0, discount_months: 0 });
}

function noIncreases(): Reply {
  return ok({ success: true, count: 0, truncated: false, pending_price_increases: [] });
}

function noSuchIncrease(): Reply {
  throw new ApiError(404, "no_pending_price_increase", "error 404: no pending price increase");
}
