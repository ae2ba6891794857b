/**
 * Who calls, and may they? Account keys, keys with a permission list, and the key inside a machine, which acts on
 * its own contract alone. Source: vast-api.md 1.4, 7.3 and 9.3.
 */
import type { World } from "../market/world.ts";
import type { AccountRecord, KeyRecord } from "../state/records.ts";
import { ApiError, type Route } from "./route.ts";

export interface Caller {
  account: AccountRecord;
  key: KeyRecord;
}

/** @throws ApiError 401, 403 or 404 as the real endpoints do. */
export function authenticate(world: World, route: Route, text: string | null): Caller {
  if (text === null) throw new ApiError(403, "auth_error", "This action requires login.");
  const key = findKey(world, text);
  const account = key && world.accounts.get(key.accountId);
  if (!key || !account) {
    // Search and billing answer 404 for an unknown key, the others 401.
    const status = route.call === "search" || route.call === "billing" ? 404 : 401;
    throw new ApiError(status, "auth_error", "Invalid user key");
  }
  return { account, key };
}

/** @throws ApiError 403 when the key may not do this. */
export function authorize(
  route: Route,
  key: KeyRecord,
  params: Record<string, string>,
  body: Record<string, unknown>,
): void {
  if (key.contractId !== null) {
    const isOwn = route.forInstanceKey && Number(params.id) === key.contractId;
    const isStateOnly = route.method !== "PUT" || Object.keys(body).every((name) => name === "state");
    if (isOwn && isStateOnly) return;
    throw new ApiError(
      403,
      "not_authorized",
      "error 403: this key can only read, start, stop and destroy its own instance",
    );
  }
  if (key.rights === null) return;
  const granted = key.rights[route.scope];
  if (granted !== undefined && isGranted(granted, route.name, params)) return;
  throw new ApiError(403, "not_authorized", `error 403: this key lacks the permission ${route.scope}`);
}

/** `Authorization: Bearer KEY`, or `?api_key=KEY` of old clients. */
export function keyOfRequest(header: string | undefined, query: URLSearchParams): string | null {
  const bearer = /^Bearer\s+(.+)$/i.exec(header ?? "");
  return bearer?.[1]?.trim() ?? query.get("api_key");
}

function findKey(world: World, text: string): KeyRecord | undefined {
  return world.keys.values().find((key) => key.key === text);
}

type Granted = NonNullable<KeyRecord["rights"]>[string];

/** An empty category grants all of it; a narrowed one only the named endpoints within their constraints. */
function isGranted(granted: Granted, name: string, params: Record<string, string>): boolean {
  if (Object.keys(granted).length === 0) return true;
  const endpoint = granted[name];
  if (!endpoint) return false;
  return Object.entries(endpoint.constraints ?? {}).every(([param, limits]) => {
    const value = Number(params[param]);
    return Object.entries(limits).every(([operator, limit]) => {
      if (operator === "eq") return value === limit;
      if (operator === "gte") return value >= limit;
      return operator === "lte" && value <= limit;
    });
  });
}
