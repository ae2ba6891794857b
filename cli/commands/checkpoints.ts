/** `vastlane checkpoints`: what a run has in its store; fetches one, or removes some. */
import { parseCheckpointId } from "../../common/checkpoint-id.ts";
import { UserError } from "../../common/errors.ts";
import { nearest } from "../../common/nearest.ts";
import {
  listStored,
  type Restored,
  removeStored,
  restoreById,
  restoreNewest,
  type StoredCheckpoint,
} from "../../runtime/checkpoint/index.ts";
import { lineage } from "../../runtime/lease/index.ts";
import { showProgress } from "../checkpoints/progress.ts";
import { type Command, EXIT, type Io } from "../command.ts";
import { defaultStack } from "../operation.ts";
import { readOptions } from "../options.ts";
import { openRunStore, type RunStore } from "../run-store.ts";
import { renderTable, bytes as size } from "../table.ts";

export const command: Command = {
  name: "checkpoints",
  summary: "list, fetch or remove a run's checkpoints in the store",
  usage: `vastlane checkpoints ls [--all] [--json]
vastlane checkpoints get ID|STEP|latest [DIR] [--json]
vastlane checkpoints rm ID... [--yes] [--force]

  ls          the lineage, newest first: what a machine would go on from
  get         fetches one into DIR (default: checkpoints) and verifies it; run again, it goes on where it stopped.
              latest: the newest that is whole; older ones are tried when it is damaged
  rm          says what it would remove; with --yes it does

  --stack S   the stack (default: $VASTLANE_STACK, or local)
  --run R     another run of its store than the configured one, e.g. dev/char-gpt
  --all       also what no machine goes on from: unfinished uploads, abandoned branches
  --force     also the newest one of the lineage
  --json      { run, store, checkpoints: [{ id, step, epoch, bytes, time, metrics, ... }] }, or { id, step, folder }`,
  run: (args, io) => checkpoints(args, io),
};

/** `open` is another way to the store, for tests. */
export async function checkpoints(args: string[], io: Io, open = openRunStore): Promise<number> {
  const [verb, ...rest] = args;
  const act = { ls, get, rm }[verb as "ls" | "get" | "rm"];
  if (act === undefined) {
    const near = verb === undefined ? undefined : nearest(verb, ["ls", "get", "rm"]);
    throw new UserError("VL_USAGE", {
      what: verb === undefined ? "checkpoints wants to know what to do" : `checkpoints cannot ${verb}`,
      ...(near && { why: `did you mean ${near}?` }),
      hint: "vastlane checkpoints ls|get|rm, see `vastlane checkpoints --help`",
    });
  }
  return act(rest, io, open);
}

const WHERE = { stack: { type: "string" }, run: { type: "string" } } as const;

type Open = typeof openRunStore;

async function using<T>(
  values: { stack?: string | undefined; run?: string | undefined },
  io: Io,
  open: Open,
  act: (run: RunStore) => Promise<T>,
): Promise<T> {
  const run = open(values.stack ?? defaultStack(io.env), values.run, io);
  try {
    return await act(run);
  } finally {
    run.close();
  }
}

async function ls(args: string[], io: Io, open: Open): Promise<number> {
  const { values } = readOptions("checkpoints", args, {
    ...WHERE,
    all: { type: "boolean" },
    json: { type: "boolean" },
  });
  return using(values, io, open, async ({ runId, store }) => {
    const all = await listStored(store);
    const shown = all.filter(({ isInLineage }) => isInLineage || values.all === true).sort(newestFirst);
    if (values.json) {
      io.stdout(`${JSON.stringify({ run: runId, store: store.name, checkpoints: shown.map(jsonOf) })}\n`);
      return EXIT.done;
    }
    if (shown.length === 0) io.stdout(`Run ${runId} has no checkpoint in ${store.name}.\n`);
    else io.stdout(tableOf(shown));
    const hidden = all.length - shown.length;
    if (hidden > 0) io.stdout(`${hidden} more that no machine goes on from: --all shows them.\n`);
    return EXIT.done;
  });
}

async function get(args: string[], io: Io, open: Open): Promise<number> {
  const names = ["ID", "DIR"];
  const { values, positionals } = readOptions("checkpoints", args, { ...WHERE, json: { type: "boolean" } }, names);
  const [wanted, dir = "checkpoints"] = positionals;
  if (wanted === undefined) {
    throw new UserError("VL_USAGE", {
      what: "checkpoints get wants an id, a step, or latest",
      hint: "vastlane checkpoints get latest",
    });
  }
  return using(values, io, open, async ({ runId, store }) => {
    const progress = showProgress(io);
    const { resolve } = await import("node:path");
    const options = {
      store,
      dir: resolve(io.cwd, dir),
      log: (line: string) => progress.say(line),
      transfer: { signal: io.signal, onProgress: progress.add },
    };
    let restored: Restored | undefined;
    try {
      if (wanted === "latest") restored = await restoreNewest({ ...options, lineage: lineage(store) });
      else restored = await restoreById(find(await listStored(store), wanted, runId).id, options);
    } finally {
      progress.end();
    }
    if (!restored) throw noneIn(runId, store.name);
    const { folder, manifest } = restored;
    if (values.json) io.stdout(`${JSON.stringify({ id: manifest.id, step: manifest.step, folder })}\n`);
    else io.stdout(`${manifest.id} is whole, in ${folder}\n`);
    return EXIT.done;
  });
}

async function rm(args: string[], io: Io, open: Open): Promise<number> {
  const flags = { ...WHERE, yes: { type: "boolean" }, force: { type: "boolean" }, json: { type: "boolean" } } as const;
  const { values, positionals } = readOptions("checkpoints", args, flags, Array(args.length).fill("ID"));
  if (positionals.length === 0) {
    throw new UserError("VL_USAGE", {
      what: "checkpoints rm wants the ids of what to remove",
      hint: "vastlane checkpoints ls --all, then: vastlane checkpoints rm ID --yes",
    });
  }
  return using(values, io, open, async ({ runId, store }) => {
    const all = await listStored(store);
    const chosen = [...new Set(positionals)].map((wanted) => find(all, wanted, runId));
    const head = chosen.find(({ isHead }) => isHead);
    if (head && !values.force) {
      throw new UserError("VL_USAGE", {
        what: `${head.id} is the newest checkpoint: the run goes on from it`,
        why: "without it, the run goes on from the one before, and trains again what came after",
        hint: "add --force if that is meant",
      });
    }
    const isReal = values.yes === true;
    if (isReal) for (const { id } of chosen) await removeStored(store, id);
    const total = size(chosen.reduce((sum, { bytes }) => sum + bytes, 0));
    if (values.json) {
      io.stdout(`${JSON.stringify({ run: runId, removed: isReal, checkpoints: chosen.map(jsonOf) })}\n`);
      return EXIT.done;
    }
    for (const { id, bytes } of chosen) io.stdout(`${isReal ? "removed" : "would remove"} ${id} (${size(bytes)})\n`);
    if (!isReal) io.stdout(`Nothing was removed. To remove ${total}, add --yes.\n`);
    return EXIT.done;
  });
}

/** The lineage's order is by time: a lower step may be the newer one, after a damaged checkpoint. */
function newestFirst(a: StoredCheckpoint, b: StoredCheckpoint): number {
  if (a.isHead !== b.isHead) return a.isHead ? -1 : 1;
  return (b.manifest?.time ?? "").localeCompare(a.manifest?.time ?? "") || (a.id < b.id ? 1 : -1);
}

/** By its id, or the newest of the lineage with that step. */
function find(all: readonly StoredCheckpoint[], wanted: string, runId: string): StoredCheckpoint {
  const byId = all.find(({ id }) => id === wanted);
  if (byId) return byId;
  const isStep = /^\d+$/.test(wanted);
  const withStep = isStep
    ? all.filter(({ id }) => parseCheckpointId(id)?.step === Number(wanted)).sort(newestFirst)
    : [];
  const found = withStep.find(({ isInLineage }) => isInLineage) ?? withStep[0];
  if (found) return found;
  const near = isStep
    ? undefined
    : nearest(
        wanted,
        all.map(({ id }) => id),
      );
  throw new UserError("VL_NOT_FOUND", {
    what: isStep ? `run ${runId} has no checkpoint of step ${wanted}` : `run ${runId} has no checkpoint ${wanted}`,
    ...(near && { why: `did you mean ${near}?` }),
    hint: "vastlane checkpoints ls --all",
  });
}

function noneIn(runId: string, store: string): UserError {
  return new UserError("VL_NOT_FOUND", {
    what: `run ${runId} has no checkpoint in ${store}`,
    hint: "vastlane checkpoints ls --all; another run of the store is named by --run",
  });
}

function tableOf(shown: readonly StoredCheckpoint[]): string {
  return renderTable<StoredCheckpoint>(
    [
      { title: "CHECKPOINT", value: ({ id }) => id },
      { title: "STEP", value: ({ id }) => String(parseCheckpointId(id)?.step ?? "?"), align: "right" },
      { title: "EPOCH", value: ({ id }) => String(parseCheckpointId(id)?.epoch ?? "?"), align: "right" },
      { title: "SIZE", value: ({ bytes }) => size(bytes), align: "right" },
      { title: "MADE", value: ({ manifest }) => manifest?.time.slice(0, 19).replace("T", " ") ?? "-" },
      { title: "METRICS", value: ({ manifest }) => metricsOf(manifest?.metrics ?? {}) },
      { title: "", value: noteOf },
    ],
    shown,
  );
}

function metricsOf(metrics: Record<string, number>): string {
  const shown = Object.entries(metrics).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`);
  return shown.join(", ") || "-";
}

function noteOf({ problem, isHead, isInLineage }: StoredCheckpoint): string {
  if (problem !== undefined) return problem;
  if (isHead) return "newest";
  return isInLineage ? "" : "not of the lineage";
}

function jsonOf({ id, manifest, bytes, problem, isHead, isInLineage }: StoredCheckpoint) {
  const { step = null, epoch = null } = parseCheckpointId(id) ?? {};
  const { time = null, metrics = {}, parent = null, files = [] } = manifest ?? {};
  return { id, step, epoch, bytes, time, metrics, parent, files, isHead, isInLineage, problem: problem ?? null };
}
