/** Pages of rows by key, as `GET /api/v1/instances/`, `/charges/` and `/invoices/` have them (vast-api.md 1.6). */
import { compareForOrder, type Row, sortRows } from "../market/query.ts";
import { ApiError } from "./route.ts";

export type Order = readonly (readonly [column: string, direction: string])[];

export interface Page<T> {
  rows: T[];
  /** Opaque to clients: base64 of `{"values":{column: value of the last row}}`; null on the last page. */
  nextToken: string | null;
}

/** The page after `token`. `order` must end in a column that tells all rows apart. */
export function pageOf<T extends Row>(rows: T[], order: Order, limit: number, token: string | null): Page<T> {
  const sorted = sortRows(rows, order);
  const from = token === null ? 0 : firstAfter(sorted, order, decode(token));
  const page = sorted.slice(from, from + limit);
  const last = page.at(-1);
  const isMore = from + limit < sorted.length;
  return {
    rows: page,
    nextToken:
      isMore && last ? encode(Object.fromEntries(order.map(([column]) => [column, last[column] ?? null]))) : null,
  };
}

/** `limit` of a request: `fallback` when absent, 5 when not positive, at most `max`. */
export function limitOf(text: string | null, fallback: number, max: number): number {
  if (text === null || text === "") return fallback;
  const limit = Math.floor(Number(text));
  if (Number.isNaN(limit)) throw new ApiError(400, "invalid_request", "error 400: limit must be a number");
  return limit <= 0 ? 5 : Math.min(limit, max);
}

/** Rows with the wanted columns only; unknown names come back as null. */
export function selectColumns(row: Row, columns: string[]): Row {
  if (columns.includes("*")) return row;
  return Object.fromEntries(columns.map((column) => [column, row[column] ?? null]));
}

function firstAfter(sorted: Row[], order: Order, values: Row): number {
  const index = sorted.findIndex((row) => {
    for (const [column, direction] of order) {
      const result = compareForOrder(row[column], values[column], direction === "desc");
      if (result !== 0) return result > 0;
    }
    return false;
  });
  return index === -1 ? sorted.length : index;
}

function encode(values: Row): string {
  return Buffer.from(JSON.stringify({ values })).toString("base64");
}

function decode(token: string): Row {
  try {
    const { values } = JSON.parse(Buffer.from(token, "base64").toString("utf8")) as { values?: unknown };
    if (typeof values === "object" && values !== null) return values as Row;
  } catch {
    // answered below
  }
  throw new ApiError(400, "invalid_token", "error 400: invalid after_token");
}
