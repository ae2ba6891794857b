/** Calls that must be answered, with nothing behind them here: volumes, templates, jobs, audit (vast-api.md 7.4, 8). */
import { ApiError, type Call, del, get, ok, post, put, type Reply, type Route } from "../route.ts";

const readInstances = { scope: "instance_read", call: "other" } as const;
const writeInstances = { scope: "instance_write", call: "other" } as const;
const readUser = { scope: "user_read", call: "other" } as const;
const writeUser = { scope: "user_write", call: "other" } as const;
const search = { scope: "misc", call: "search" } as const;

export const extraRoutes: Route[] = [
  get("/api/v0/volumes/", readInstances, "api.volumes.list", () => ok({ success: true, volumes: [] }), {
    threshold: 5.5,
  }),
  post("/api/v0/volumes/search/", search, "api.volumes.search", () => ok({ offers: [] })),
  post("/api/v0/network_volumes/search/", search, "api.network_volumes.search", () => ok({ offers: [] })),
  put("/api/v0/volumes/", writeInstances, "api.volumes.create", noSuchVolumeOffer, { threshold: 5.5 }),
  del("/api/v0/volumes/", writeInstances, "api.volumes.delete", noSuchVolume, { threshold: 5.5 }),
  get("/api/v0/template/", readUser, "api.templates.list", noTemplates, { threshold: 3 }),
  post("/api/v0/template/", writeUser, "api.templates.create", notHere),
  put("/api/v1/template/", writeUser, "api.templates.update", notHere),
  del("/api/v0/template/", writeUser, "api.templates.delete", notHere),
  get("/api/v0/users/cloud_integrations/", readUser, "api.cloud_integrations", () => ok([])),
  get("/api/v0/commands/schedule_job/", readInstances, "api.schedule_job.list", () => ok([])),
  post("/api/v0/commands/schedule_job/", writeInstances, "api.schedule_job.create", notHere),
  get("/api/v0/audit_logs/", { scope: "misc", call: "other" }, "api.audit_logs", auditLog),
];

function noTemplates(): Reply {
  return ok({ success: true, templates_found: 0, templates: [] });
}

function notHere(): Reply {
  throw new ApiError(400, "invalid_request", "error 400: not part of the emulated market");
}

function noSuchVolumeOffer(call: Call): Reply {
  throw new ApiError(404, "invalid_args", `error 404/3603: no_such_ask Volume offer ${call.body.id} is not available.`);
}

function noSuchVolume(call: Call): Reply {
  throw new ApiError(404, "no_such_volume", `error 404: no_such_volume ${call.query.get("id")}`);
}

/** The journal's lines about this account are what was done with it. */
function auditLog({ world, account, key }: Call): Reply {
  const lines = world.store.journal(0).filter((line) => line.accountId === account.id && line.kind !== "charge");
  return ok(
    lines.map((line) => ({
      ip_address: "127.0.0.1",
      api_key_id: key.id,
      created_at: line.t,
      api_route: line.kind,
      args: { contract_id: line.contractId ?? null, label: line.label ?? null },
    })),
  );
}
