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
import { ApiError, type Call, idParam, ok, type Reply, type Route } from "../route.ts";

const write = { scope: "instance_write", call: "state" } as const;

export const manageRoutes: Route[] = [
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/:id/",
    name: "api.instance.update",
    threshold: 1,
    forInstanceKey: true,
    handler: (call) => change(call, contractOf(call, idParam(call))),
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/",
    name: "api.instances.update",
    threshold: 1,
    handler: changeMany,
  },
  {
    ...write,
    method: "DELETE",
    path: "/api/v0/instances/:id/",
    call: "destroy",
    name: "api.instance.destroy",
    threshold: 3,
    forInstanceKey: true,
    handler: destroyOne,
  },
  {
    ...write,
    method: "DELETE",
    path: "/api/v0/instances/",
    call: "destroy",
    name: "api.instances.destroy",
    threshold: 3,
    handler: destroyMany,
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/reboot/:id/",
    name: "api.instance.reboot",
    threshold: 1,
    handler: (call) => restart(call, "reboot"),
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/recycle/:id/",
    name: "api.instance.recycle",
    threshold: 1,
    handler: (call) => restart(call, "recycle"),
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/bid_price/:id/",
    call: "bid",
    name: "api.instance.bid_price",
    threshold: 5.5,
    handler: changeBid,
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/prepay/:id/",
    name: "api.instance.prepay",
    threshold: 2,
    handler: prepay,
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/update_template/:id/",
    name: "api.instance.update_template",
    handler: updateTemplate,
  },
  {
    method: "GET",
    path: "/api/v0/instances/balance/:id/",
    scope: "instance_read",
    call: "other",
    name: "api.instance.balance",
    threshold: 3,
    handler: balance,
  },
  {
    method: "GET",
    path: "/api/v0/instances/pending-price-increases/",
    scope: "instance_read",
    call: "other",
    name: "api.price_increases",
    handler: () => ok({ success: true, count: 0, truncated: false, pending_price_increases: [] }),
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/accept-price-increase/",
    name: "api.price_increase.accept",
    handler: noIncrease,
  },
  {
    ...write,
    method: "PUT",
    path: "/api/v0/instances/reject-price-increase/",
    name: "api.price_increase.reject",
    handler: noIncrease,
  },
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
  if (!contract.isBid)
    throw new ApiError(400, "invalid_args", `error 400: instance ${contract.id} is not interruptible`);
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

function noIncrease(): Reply {
  throw new ApiError(404, "no_pending_price_increase", "error 404: no pending price increase");
}
