/** Logs, commands on a stopped disk, and copies (vast-api.md 5.1-5.3). */
import { randomBytes } from "node:crypto";
import type { World } from "../../market/world.ts";
import type { ContractRecord } from "../../state/records.ts";
import { ApiError, type Call, del, get, idParam, ok, post, put, type Reply, type Route } from "../route.ts";
import { contractOf } from "./manage.ts";

const readLog = { scope: "instance_read", call: "other" } as const;
const write = { scope: "instance_write", call: "other" } as const;

/** Results live in memory: who asked polls for seconds, and asks again after a restart. */
export function commandRoutes(): Route[] {
  const results = createResults();
  return [
    put("/api/v0/instances/request_logs/:id/", readLog, "api.instance.request_logs", (call) => logs(call, results)),
    put("/api/v0/instances/command/:id/", write, "api.instance.command", (call) => execute(call, results), {
      threshold: 1.5,
    }),
    put("/api/v0/commands/copy_direct/", write, "api.copy", copy),
    del("/api/v0/commands/copy_direct/", write, "api.copy.cancel", () => ok({ success: true })),
    put("/api/v0/commands/rsync/", write, "api.rsync", copy),
    del("/api/v0/commands/rsync/", write, "api.rsync.cancel", () => ok({ success: true })),
    post("/api/v0/commands/rclone/", write, "api.rclone", () =>
      ok({ success: true, msg: "nothing is synced by the emulator" }),
    ),
    del("/api/v0/commands/rclone/", write, "api.rclone.cancel", () => ok({ success: true })),
    post("/api/v0/instances/take_snapshot/:id/", write, "api.instance.snapshot", snapshot),
    get("/_results/:name", { scope: "open", call: "other" }, "results", (call) => results.read(call.params.name ?? "")),
  ];
}

const DEFAULT_TAIL = 1000;
const MAX_RESULTS = 200;

interface Results {
  /** Keeps a text and returns its absolute address. */
  keep(text: string, baseUrl: string): string;
  read(name: string): Reply;
}

/** Texts behind random names. As on the real market the first look comes too early and gets 404. */
function createResults(): Results {
  const kept = new Map<string, { text: string; looks: number }>();
  return {
    keep(text, baseUrl) {
      const name = `${randomBytes(16).toString("hex")}.log`;
      kept.set(name, { text, looks: 0 });
      const [oldest] = kept.keys();
      if (kept.size > MAX_RESULTS && oldest !== undefined) kept.delete(oldest);
      return `${baseUrl}/_results/${name}`;
    },
    read(name) {
      const result = kept.get(name);
      if (!result || result.looks++ === 0) return { status: 404, text: "Not Found" };
      return { status: 200, text: result.text };
    },
  };
}

function logs(call: Call, results: Results): Reply {
  const contract = contractOf(call, idParam(call));
  const { tail, filter, daemon_logs: isDaemon } = call.body;
  const whole =
    isDaemon === "true" || isDaemon === true
      ? daemonLog(call.world, contract)
      : call.world.machines.containerLog(contract.id);
  const wanted = filter === undefined ? [] : [String(filter)];
  const lines = whole.split("\n").filter((line) => wanted.every((text) => line.includes(text)));
  const count = tail === undefined ? DEFAULT_TAIL : Number(tail);
  if (!(count > 0))
    throw new ApiError(400, "invalid_args", `error 400: tail must be a positive number, not ${JSON.stringify(tail)}`);
  const isEnded = lines.at(-1) === "";
  const text = lines.slice(isEnded ? -count - 1 : -count).join("\n");
  return ok({ success: true, result_url: results.keep(text, call.baseUrl), msg: "" });
}

/** What the host's daemon would have logged about the contract: our journal of it. */
function daemonLog(world: World, contract: ContractRecord): string {
  const lines = world.store.journal(0).filter((line) => line.contractId === contract.id && line.kind !== "charge");
  return lines.map((line) => `${new Date(line.t * 1000).toISOString()} ${line.kind} C.${contract.id}\n`).join("");
}

/** Checked as the market does; the answer says that nothing was run. */
function execute(call: Call, results: Results): Reply {
  const contract = contractOf(call, idParam(call));
  const { command } = call.body;
  if (typeof command !== "string" || command.trim() === "") {
    return { status: 483, json: { success: false, error: "invalid_args", msg: "Invalid json_body" } };
  }
  const program = command.trim().split(/\s+/)[0];
  if (!["ls", "rm", "du"].includes(program ?? "")) {
    throw new ApiError(400, "invalid_args", "error 400: only ls, rm and du can be executed");
  }
  const text = `the emulator runs no commands on disks; ssh into C.${contract.id} and run: ${command}\n`;
  return ok({ success: true, result_url: results.keep(text, call.baseUrl), writeable_path: "/", msg: "" });
}

/** Both sides are checked; the address of a machine's side is what the client's rsync goes to. */
function copy(call: Call): Reply {
  const { body } = call;
  const from = contractOfSide(call, body.src_id);
  const to = contractOfSide(call, body.dst_id);
  if (!from && !to) throw new ApiError(400, "invalid_args", "error 400: one side must be an instance");
  return ok({
    success: true,
    ...(from ? { src_addr: "127.0.0.1", src_port: from.proxyPort } : {}),
    ...(to ? { dst_addr: "127.0.0.1", dst_port: to.proxyPort } : {}),
    msg: "Remote to Remote copy initiated - check instance status bar for progress updates",
  });
}

/** `5001`, `C.5001`; anything else (`local`, null, a cloud connection, a volume) is no contract. */
function contractOfSide(call: Call, side: unknown): ContractRecord | undefined {
  const id = /^(?:C\.)?(\d+)$/.exec(String(side ?? ""))?.[1];
  return id === undefined ? undefined : contractOf(call, Number(id));
}

function snapshot(call: Call): Reply {
  const contract = contractOf(call, idParam(call));
  return ok({ success: true, msg: `snapshot of instance ${contract.id} asked for (the emulator keeps none)` });
}
