/** What was spent: charges by day and contract, the older list of charges and payments, credits (vast-api.md 7.2). */
import { closeCharge, creditOf, usdOf } from "../../billing/billing.ts";
import { type Filter, matches, type Row } from "../../market/query.ts";
import { round } from "../../market/random.ts";
import type { ChargeRecord } from "../../state/records.ts";
import { limitOf, pageOf } from "../paging.ts";
import { ApiError, type Call, get, jsonParam, ok, post, type Reply, type Route } from "../route.ts";

const read = { scope: "billing_read", call: "billing" } as const;

export const billingRoutes: Route[] = [
  get("/api/v0/charges/", read, "api.charges", charges, { threshold: 1 }),
  get("/api/v1/invoices/", read, "api.invoices", credits, { threshold: 3 }),
  get("/api/v0/invoices/", read, "api.invoices_v0", invoices, { threshold: 3 }),
  get("/api/v0/users/me/invoices/", read, "api.user.invoices", invoices, { threshold: 3 }),
  get("/api/v0/users/me/machine-earnings/", { scope: "machine_read", call: "other" }, "api.earnings", earnings),
  post("/api/v0/contracts/fetch/", read, "api.contracts.fetch", fetchContracts),
];

const PAGE = 20;
const MAX_PAGE = 500;
const DAY = 86_400;

/** One row for each day and contract, with what it is made of; whole days that touch the wanted range. */
function charges(call: Call): Reply {
  const { day, ...rest } = jsonParam<Filter>(call, "select_filters", {});
  if (!day || (day.gte === undefined && day.gt === undefined)) {
    throw new ApiError(400, "invalid_request", "error 400: a range of days is required (select_filters.day)");
  }
  const rows = chargesOf(call)
    .filter((one) => matches({ day: one.day }, { day: wholeDays(day) }))
    .map(chargeRow)
    .filter((row) => matches(row, rest));
  return envelope(call, rows);
}

function envelope(call: Call, rows: Row[]): Reply {
  const direction = call.query.get("latest_first") === "true" ? "desc" : "asc";
  const order = [
    ["start", direction],
    ["source", direction],
  ] as const;
  const page = pageOf(rows, order, limitOf(call.query.get("limit"), PAGE, MAX_PAGE), call.query.get("after_token"));
  return ok({
    success: true,
    count: page.rows.length,
    total: rows.length,
    next_token: page.nextToken,
    results: page.rows,
  });
}

/** Payments of the account: the credit that it began with, and what was put in by hand. */
function credits(call: Call): Reply {
  const { when = {}, ...rest } = jsonParam<Filter>(call, "select_filters", {});
  if (Number(when.gte ?? 0) > Number(when.lte ?? Number.POSITIVE_INFINITY)) {
    return ok({ success: false, error: "Invalid date range", msg: "Invalid date range" });
  }
  const row = {
    start: call.world.market.birth,
    end: null,
    type: "credit",
    source: "emulator",
    description: "Credit of the emulated account",
    amount: round(call.account.deposited, 6),
    metadata: { invoice_id: call.account.id % 1_000_000 },
    items: [],
  };
  const rows = [row].filter((one) => matches({ when: one.start }, { when }) && matches(one, withoutService(rest)));
  return envelope(call, rows);
}

/** The deprecated list: every part of every charge as a line of its own. */
function invoices(call: Call): Reply {
  const from = Number(call.query.get("sdate") ?? 0);
  const to = Number(call.query.get("edate") ?? call.t);
  const isCharged = call.query.get("inc_charges") !== "false";
  const all = chargesOf(call).filter((one) => one.end >= from && one.start <= to);
  const lines = isCharged ? all.flatMap(invoiceLines) : [];
  const total = all.reduce((sum, one) => sum + usdOf(one.cost), 0);
  return ok({
    invoices: lines.map((line, index) => ({ id: index + 1, ...line })),
    current: {
      charges: round(total, 6),
      service_fee: 0,
      total: round(total, 6),
      credit: round(creditOf(call.world, call.account.id), 6),
    },
  });
}

function earnings(): Reply {
  return ok({ success: true, summary: {}, per_machine: [], per_day: [] });
}

/** Contracts with a label, for commands that take a label in place of ids. */
function fetchContracts(call: Call): Reply {
  const { label, contract_ids: wanted } = call.body;
  const ids = Array.isArray(wanted) ? wanted.map(Number) : null;
  const found = call.world.contracts
    .values()
    .filter((one) => one.accountId === call.account.id)
    .filter((one) => label === undefined || label === null || one.label === label)
    .filter((one) => ids === null || ids.includes(one.id));
  return ok({ contracts: found.map(({ id, label: name }) => ({ id, label: name })) });
}

/** All charges of the account up to this moment. */
function chargesOf(call: Call): ChargeRecord[] {
  for (const contract of call.world.contracts.values()) {
    if (contract.accountId === call.account.id && contract.destroyedAt === null) closeCharge(call.world, contract);
  }
  return call.world.charges.values().filter((one) => one.accountId === call.account.id);
}

function chargeRow(charge: ChargeRecord): Row {
  const part = (type: string, description: string, amount: number) => ({
    start: charge.start,
    end: charge.end,
    type,
    source: null,
    description,
    amount: round(amount, 6),
    metadata: {},
    items: [],
  });
  return {
    start: charge.start,
    end: charge.end,
    type: "instance",
    source: `instance-${charge.contractId}`,
    description: `Instance ${charge.contractId}`,
    amount: round(usdOf(charge.cost), 6),
    metadata: { label: charge.label, instance_id: charge.contractId },
    items: invoiceLines(charge).map((line) => part(TYPE_OF[line.item], line.description, Number(line.amount))),
  };
}

type Item = "gpu" | "disk" | "down" | "up";
const TYPE_OF: Record<Item, string> = { gpu: "gpu", disk: "disk", down: "bwd", up: "bwu" };

/** The parts of a charge that cost something, as lines of a bill. */
function invoiceLines(charge: ChargeRecord) {
  const { cost } = charge;
  const parts: [item: Item, quantity: number, unit: string, usd: number][] = [
    ["gpu", cost.gpuHours, "hours", cost.gpuUsd],
    ["disk", cost.diskHours, "hours", cost.diskUsd],
    ["down", cost.downGB, "GB", cost.downUsd],
    ["up", cost.upGB, "GB", cost.upUsd],
  ];
  return parts
    .filter(([, quantity]) => quantity > 0)
    .map(([item, quantity, unit, usd]) => ({
      item,
      type: "charge",
      description: `${quantity.toFixed(3)} ${unit} at $${(usd / quantity).toFixed(4)}/${unit === "hours" ? "hour" : unit} (instance ${charge.contractId} ${item})`,
      quantity: quantity.toFixed(3),
      rate: (usd / quantity).toFixed(6),
      amount: usd.toFixed(6),
      timestamp: charge.end,
      instance_id: charge.contractId,
    }));
}

/** The range as given, widened to the starts of the days that it touches. */
function wholeDays(range: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(range).map(([operator, value]) => [
      operator,
      operator.startsWith("g") ? Math.floor(Number(value) / DAY) * DAY : Number(value),
    ]),
  );
}

function withoutService({ service: _, ...rest }: Filter): Filter {
  return rest;
}
