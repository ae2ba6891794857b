/**
 * Filters and orders as the market's API understands them: `{field: {op: value}}`, all and-ed.
 * Numbers may come as strings; `_` in a text stands for a blank; `geolocation` means the country code.
 * Source: vast-api.md 2.2, 2.3 and 1.6.
 */

export type Row = Record<string, unknown>;
export type Filter = Record<string, Record<string, unknown>>;

/** Filter names that mean another column of a row. */
const COLUMN_OF: Record<string, string> = {
  verified: "verification",
  driver_version: "driver_vers",
  ubuntu_version: "os_version",
  dph: "dph_total",
  cuda_vers: "cuda_max_good",
  display_active: "gpu_display_active",
  dlperf_usd: "dlperf_per_dphtotal",
  flops_usd: "flops_per_dphtotal",
};

const OPERATORS = ["eq", "neq", "gt", "gte", "lt", "lte", "in", "notin", "nin"];

/** A filter that cannot be understood; the text goes out in the 400 answer. */
export class QueryError extends Error {}

/**
 * Whether `row` passes `filter`. A column that no row has is null; null passes `eq null` and `neq value` only,
 * except `external`, where null means false.
 * @throws QueryError for an operator that is none, or a list operator without a list.
 */
export function matches(row: Row, filter: Filter): boolean {
  for (const [field, conditions] of Object.entries(filter)) {
    if (typeof conditions !== "object" || conditions === null || Array.isArray(conditions)) {
      throw new QueryError(`filter of ${field} must be an object of operators`);
    }
    for (const [operator, wanted] of Object.entries(conditions)) {
      if (!OPERATORS.includes(operator)) throw new QueryError(`unknown operator ${operator} for ${field}`);
      if (!holds(columnOf(row, field), operator, wanted, field)) return false;
    }
  }
  return true;
}

/** Sorts by `[["column", "asc"|"desc"], ...]`; nulls last; stable. */
export function sortRows<T extends Row>(rows: T[], order: readonly (readonly [string, string])[]): T[] {
  return [...rows].sort((a, b) => {
    for (const [column, direction] of order) {
      const result = compareForOrder(columnOf(a, column), columnOf(b, column), direction === "desc");
      if (result !== 0) return result;
    }
    return 0;
  });
}

/** Order of two values: negative when `a` comes first. Nulls come last in both directions. */
export function compareForOrder(a: unknown, b: unknown, descending: boolean): number {
  const aIsNull = a === null || a === undefined;
  const bIsNull = b === null || b === undefined;
  if (aIsNull || bIsNull) return Number(aIsNull) - Number(bIsNull);
  const result =
    typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
  return descending ? -result : result;
}

/** `"535.86.05"` -> 535086005, the integer form that driver filters compare with. */
export function driverNumber(version: string): number {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  return major * 1_000_000 + minor * 1000 + patch;
}

function columnOf(row: Row, field: string): unknown {
  const column = COLUMN_OF[field] ?? field;
  const value = row[column] ?? row[field] ?? null;
  if (field === "verified") return value === "verified";
  if (field === "external" && value === null) return false;
  if (field === "geolocation" && typeof value === "string") return value.slice(-2).toUpperCase();
  return value;
}

function holds(value: unknown, operator: string, wanted: unknown, field: string): boolean {
  switch (operator) {
    case "eq":
      return isSame(value, wanted, field);
    case "neq":
      return !isSame(value, wanted, field);
    case "in":
    case "notin":
    case "nin": {
      if (!Array.isArray(wanted)) throw new QueryError(`operator ${operator} of ${field} needs a list`);
      return wanted.some((one) => isSame(value, one, field)) === (operator === "in");
    }
    default:
      return isOrdered(value, operator, wanted, field);
  }
}

function isSame(value: unknown, wanted: unknown, field: string): boolean {
  if (wanted === null || value === null) return value === wanted;
  if (typeof value === "number") return value === numberOf(wanted, field);
  if (typeof value === "boolean") return value === booleanOf(wanted);
  if (field === "geolocation") return value === String(wanted).trim().slice(-2).toUpperCase();
  return plain(String(value)) === plain(String(wanted));
}

function isOrdered(value: unknown, operator: string, wanted: unknown, field: string): boolean {
  if (value === null || wanted === null) return false;
  const isNumeric = typeof value === "number" || typeof value === "boolean";
  const a = isNumeric ? Number(value) : plain(String(value));
  const b = isNumeric ? numberOf(wanted, field) : plain(String(wanted));
  if (operator === "gt") return a > b;
  if (operator === "gte") return a >= b;
  if (operator === "lt") return a < b;
  return a <= b;
}

/** A text that is no number is NaN, which equals nothing and orders nowhere. */
function numberOf(wanted: unknown, field: string): number {
  if (typeof wanted === "number") return wanted;
  if (typeof wanted === "boolean") return Number(wanted);
  const text = String(wanted).trim();
  if (text === "") return Number.NaN;
  if (field === "driver_version" && text.split(".").length === 3) return driverNumber(text);
  return Number(text);
}

function booleanOf(wanted: unknown): boolean | undefined {
  if (typeof wanted === "boolean") return wanted;
  const text = String(wanted).toLowerCase();
  if (text === "true" || text === "1") return true;
  return text === "false" || text === "0" ? false : undefined;
}

function plain(text: string): string {
  return text.replaceAll("_", " ").trim();
}
