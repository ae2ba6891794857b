/** Keys with a permission list (vast-api.md 7.3). The keys inside machines are not among them. */
import { createKey } from "../../market/world.ts";
import type { KeyRecord, Rights } from "../../state/records.ts";
import { ApiError, type Call, del, get, idParam, ok, post, type Reply, type Route } from "../route.ts";

const read = { scope: "user_read", call: "user" } as const;
const write = { scope: "user_write", call: "user" } as const;

export const apiKeyRoutes: Route[] = [
  get("/api/v0/auth/apikeys/", read, "api.apikeys.list", list, { threshold: 1 }),
  post("/api/v0/auth/apikeys/", write, "api.apikeys.create", create, { threshold: 2 }),
  get("/api/v0/auth/apikeys/:id/", read, "api.apikeys.show", show),
  del("/api/v0/auth/apikeys/:id/", write, "api.apikeys.delete", remove, { threshold: 2 }),
];

function list(call: Call): Reply {
  return ok({ apikeys: keysOf(call).map(publicView) });
}

/** The only answer that ever shows the key. */
function create(call: Call): Reply {
  const permissions = call.body.permissions ?? null;
  const rights = rightsOf(permissions);
  const key = createKey(call.world, call.account.id, String(call.body.name ?? ""), rights, null);
  return ok({ id: key.id, key: key.key, permissions });
}

function show(call: Call): Reply {
  return ok(publicView(ownKey(call)));
}

function remove(call: Call): Reply {
  const key = ownKey(call);
  if (key.id === call.key.id) throw new ApiError(400, "invalid_args", "error 400: a key cannot delete itself");
  call.world.keys.remove(key.id);
  return ok("Successfully Deleted API Key");
}

function keysOf(call: Call): KeyRecord[] {
  return call.world.keys.values().filter((key) => key.accountId === call.account.id && key.contractId === null);
}

function ownKey(call: Call): KeyRecord {
  const id = idParam(call);
  const key = keysOf(call).find((one) => one.id === id);
  if (!key) throw new ApiError(404, "not_found", `error 404: no API key ${id}`);
  return key;
}

/** `{"api": {category: {...}}}`; null gives a key that may do all that its maker may. */
function rightsOf(permissions: unknown): Rights {
  if (permissions === null) return null;
  const api = (permissions as { api?: unknown }).api;
  if (typeof api !== "object" || api === null || Array.isArray(api)) {
    throw new ApiError(400, "invalid_args", "error 400: permissions must be an object with a key `api`");
  }
  return api as Rights;
}

function publicView(key: KeyRecord): Record<string, unknown> {
  const rights = key.rights === null ? null : { api: key.rights };
  return { id: key.id, user_id: key.accountId, name: key.name, rights, team_id: null, team_name: null };
}
