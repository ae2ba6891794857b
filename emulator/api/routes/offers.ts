/** Search: three spellings of one query (vast-api.md 2). */

import { PHASES } from "../../market/contracts.ts";
import { listingsFor } from "../../market/listing.ts";
import { type OfferQuery, offerRow } from "../../market/offer-row.ts";
import { type Filter, matches, QueryError, type Row, sortRows } from "../../market/query.ts";
import type { World } from "../../market/world.ts";
import { type Call, get, jsonParam, ok, post, put, type Reply, type Route } from "../route.ts";

const search_ = { scope: "misc", call: "search" } as const;

export const offerRoutes: Route[] = [
  post("/api/v0/bundles/", search_, "api.bundles", (call) => search(call, call.body)),
  get("/api/v0/bundles/", search_, "api.bundles", (call) => search(call, jsonParam(call, "q", {}))),
  put("/api/v0/search/asks/", search_, "api.search.asks", searchAsks),
  get("/api/v0/search/asks/", search_, "api.search.asks", (call) => search(call, jsonParam(call, "q", {}))),
  get("/api/v0/gpu_names/unique/", { scope: "open", call: "other" }, "api.gpu_names", gpuNames),
];

/** The market gives no more than this, whatever `limit` says. */
const MAX_OFFERS = 64;
const DIRECTIVES = ["order", "type", "limit", "allocated_storage", "disable_bundling"];

/** The rows that a query finds for an account, best first, at most 64. */
export function findOffers(world: World, accountId: number, query: Record<string, unknown>, t: number): Row[] {
  const filter = Object.fromEntries(Object.entries(query).filter(([name]) => !DIRECTIVES.includes(name))) as Filter;
  const shape: OfferQuery = { type: typeOf(query.type), allocatedStorage: Number(query.allocated_storage ?? 8) };
  const ours = new Set(
    world.contracts
      .values()
      .filter((one) => one.accountId === accountId && PHASES[one.phase].exists)
      .map((one) => one.machineId),
  );
  const rows = listingsFor(world, accountId, t)
    .map((listing) => offerRow(listing, shape, t, ours.has(listing.slot.machine.id)))
    .filter((row) => matches(row, rentedMeansOurs(filter)));
  const limit = query.limit === undefined || query.limit === null ? MAX_OFFERS : Number(query.limit);
  return sortRows(rows, orderOf(query.order)).slice(0, Math.max(0, Math.min(limit, MAX_OFFERS)));
}

function search(call: Call, query: Record<string, unknown>): Reply {
  return ok({ offers: findOffers(call.world, call.account.id, query, call.t) });
}

function searchAsks(call: Call): Reply {
  const query = call.body.q;
  return search(call, typeof query === "object" && query !== null ? (query as Record<string, unknown>) : {});
}

function gpuNames({ world }: Call): Reply {
  return ok({ gpu_names: [...new Set(world.catalogue.machines.map((machine) => machine.gpu.name))] });
}

/**
 * `rented = true` asks for machines on which the caller rents already. `rented = false`, which the SDK sends by
 * default, asks for what is free, and everything that is listed is.
 */
function rentedMeansOurs(filter: Filter): Filter {
  const { rented, ...rest } = filter;
  return rented && isTrue(rented.eq) ? { ...rest, rented: { eq: true } } : rest;
}

function isTrue(value: unknown): boolean {
  return value === true || value === "true" || value === "True";
}

function typeOf(value: unknown): OfferQuery["type"] {
  if (value === "bid" || value === "interruptible") return "bid";
  return value === "reserved" ? "reserved" : "on-demand";
}

function orderOf(value: unknown): [string, string][] {
  if (value === undefined || value === null) return [["score", "desc"]];
  if (!Array.isArray(value) || !value.every((one) => Array.isArray(one) && typeof one[0] === "string")) {
    throw new QueryError("order must be a list of [column, direction]");
  }
  return value.map(([column, direction]) => [String(column), String(direction ?? "asc")]);
}
