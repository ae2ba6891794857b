/** Create, bulk create and launch (vast-api.md 3). The answers go out only after the rent is on disk. */

import { type Refusal, rent } from "../../market/rent.ts";
import { parseRentRequest } from "../../market/rent-request.ts";
import type { ContractRecord } from "../../state/records.ts";
import { ApiError, type Call, idParam, ok, post, put, type Reply, type Route } from "../route.ts";
import { findOffers } from "./offers.ts";

const rent_ = { scope: "instance_write", call: "create" } as const;

export const rentRoutes: Route[] = [
  put("/api/v0/asks/:id/", rent_, "api.asks.create", create, { threshold: 4.5 }),
  post("/api/v0/asks/bulk/", rent_, "api.asks.bulk", createBulk, { threshold: 4.5 }),
  put("/api/v0/launch_instance/", { scope: "misc", call: "create" }, "api.launch_instance", launch, { threshold: 5 }),
];

function create(call: Call): Reply {
  return rentOne(call, idParam(call));
}

function createBulk(call: Call): Reply {
  const ids = Array.isArray(call.body.ids) ? call.body.ids.map(Number) : [];
  if (ids.length === 0)
    throw new ApiError(400, "invalid_args", "error 400/3467: Invalid args: ids must be a list of offers");
  const replies = ids.map((id) => ({ id, reply: rentOne(call, id) }));
  const contracts = replies.flatMap(({ reply }) => (reply.json as { new_contract?: number }).new_contract ?? []);
  return ok({
    success: contracts.length > 0,
    new_contracts: contracts,
    results: replies.map(({ id, reply }) => ({ ask_id: id, ...(reply.json as object) })),
    ...(contracts.length === 0 ? { msg: "none of the offers could be rented" } : {}),
  });
}

function launch(call: Call): Reply {
  const query = (call.body.q ?? {}) as Record<string, unknown>;
  const rows = findOffers(call.world, call.account.id, query, call.t);
  for (const row of rows) {
    const reply = rentOne(call, row.id as number);
    if (reply.status === 200 || !isTaken(reply)) return reply;
  }
  throw new ApiError(404, "no_such_ask", "error 404: no offer on the market fits this launch");
}

function rentOne(call: Call, offerId: number): Reply {
  const request = parseRentRequest(call.body);
  const { world, account, t } = call;
  if (request.isVm && !world.sshKeys.values().some((key) => key.accountId === account.id && key.deletedAt === null)) {
    throw new ApiError(400, "no_ssh_key_for_vm", "error 400/3490: a VM needs an SSH key in the account");
  }
  const result = rent(world, account, offerId, request, t);
  return "contract" in result ? rented(result.contract) : refused(result.refusal);
}

function rented(contract: ContractRecord): Reply {
  return ok({ success: true, new_contract: contract.id, instance_api_key: contract.apiKey });
}

function refused({ status, error, msg, askId, contract }: Refusal): Reply {
  const left = contract ? { new_contract: contract.id } : {};
  return { status, json: { success: false, error, msg, ask_id: askId, ...left } };
}

function isTaken(reply: Reply): boolean {
  return JSON.stringify(reply.json).includes("no_such_ask");
}
