/** Reading contracts: the paged list, the single read, the retired list, and what the CLI's table head asks. */
import { type Filter, matches, type Row } from "../../market/query.ts";
import { instanceRow, visibleContracts } from "../instance-row.ts";
import { limitOf, type Order, pageOf, selectColumns } from "../paging.ts";
import { ApiError, type Call, get, idParam, jsonParam, ok, type Reply, type Route } from "../route.ts";

const list_ = { scope: "instance_read", call: "list" } as const;
const read = { scope: "instance_read", call: "read" } as const;
const other = { scope: "instance_read", call: "other" } as const;

export const instanceRoutes: Route[] = [
  get("/api/v1/instances/", list_, "api.instances.list", list, { threshold: 1 }),
  get("/api/v0/instances/", list_, "api.instances.list_v0", listV0, { threshold: 1 }),
  get("/api/v0/instances/filters/", other, "api.instances.filters", filters),
  get("/api/v0/instances/count/", other, "api.instances.count", count),
  get("/api/v1/instances/lite/", other, "api.instances.lite", lite),
  get("/api/v0/instances/:id/", read, "api.instance.show", show, { threshold: 2, forInstanceKey: true }),
];

const PAGE = 25;

/** Columns that are stored with a contract; only these can be filtered, computed ones cannot. */
const STORED = [
  "id", "label", "actual_status", "intended_status", "cur_state", "next_state", "status_msg", "gpu_name", "gpu_arch", "verification", "machine_id",
  "host_id", "bundle_id", "image_uuid", "image_runtype", "is_bid", "start_date", "end_date", "geolocation", "country_code", "template_id",
  "template_hash_id", "disk_space", "ssh_idx", "static_ip", "hosting_type", "os_version", "driver_version", "public_ipaddr",
]; // biome-ignore format: a list of words

function list(call: Call): Reply {
  const filter = jsonParam<Filter>(call, "select_filters", {});
  for (const column of Object.keys(filter)) {
    if (!STORED.includes(column))
      throw new ApiError(400, "invalid_request", `error 400: column ${column} cannot be filtered`);
  }
  const columns = jsonParam<string[]>(call, "select_cols", ["*"]);
  const order = orderOf(jsonParam<unknown>(call, "order_by", []));
  const found = rowsOf(call).filter((row) => matches(row, withEmptyLabels(filter)));
  const page = pageOf(found, order, limitOf(call.query.get("limit"), PAGE, PAGE), call.query.get("after_token"));
  return ok({
    success: true,
    instances_found: found.length,
    total_instances: found.length,
    label_counts: countBy(found, (row) => String(row.label ?? "")),
    next_token: page.nextToken,
    instances: page.rows.map((row) => selectColumns(row, columns)),
  });
}

/** Retired in production; a fault chooses what is left of it. */
function listV0(call: Call): Reply {
  const mode = call.world.faults.active("v0-list")?.mode ?? "gone";
  if (mode === "gone") throw new ApiError(410, "gone", "error 410: this endpoint is retired; use /api/v1/instances/");
  return ok({ success: true, instances: mode === "empty" ? [] : rowsOf(call) });
}

function show(call: Call): Reply {
  const id = idParam(call);
  const contract = visibleContracts(call.world, call.account.id, call.t).find((one) => one.id === id);
  return ok({ instances: contract ? instanceRow(call.world, contract, call.t, "single") : null });
}

function filters(call: Call): Reply {
  const rows = rowsOf(call).map(({ actual_status, verification, gpu_name }) => ({
    actual_status,
    verification,
    gpu_name,
  }));
  return ok({ filters: [...new Map(rows.map((row) => [JSON.stringify(row), row])).values()] });
}

function count(call: Call): Reply {
  return ok({ success: true, count: rowsOf(call).length });
}

function lite(call: Call): Reply {
  return ok({
    success: true,
    instances: rowsOf(call).map(({ id, label, actual_status }) => ({ id, label, actual_status })),
  });
}

function rowsOf(call: Call): Row[] {
  return visibleContracts(call.world, call.account.id, call.t).map((one) =>
    instanceRow(call.world, one, call.t, "in-list"),
  );
}

/** `[{"col","dir"}]`, with the id appended so that no two rows are equal. */
function orderOf(value: unknown): Order {
  if (!Array.isArray(value)) throw new ApiError(400, "invalid_request", "error 400: order_by must be a list");
  const order = value.map(
    (one: { col?: unknown; dir?: unknown }) => [String(one?.col), String(one?.dir ?? "asc")] as const,
  );
  return order.some(([column]) => column === "id") ? order : [...order, ["id", "asc"]];
}

/** An empty text as a label stands for none. */
function withEmptyLabels(filter: Filter): Filter {
  const wanted = filter.label;
  if (!wanted) return filter;
  const plain = (value: unknown) => (value === "" ? null : value);
  const label = Object.fromEntries(
    Object.entries(wanted).map(([operator, value]) => [
      operator,
      Array.isArray(value) ? value.map(plain) : plain(value),
    ]),
  );
  return { ...filter, label };
}

function countBy(rows: Row[], keyOf: (row: Row) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) counts[keyOf(row)] = (counts[keyOf(row)] ?? 0) + 1;
  return counts;
}
