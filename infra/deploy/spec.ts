/**
 * From a stack's configuration to what each of its machines is to be sent: pure, apart from reading the project.
 * Nothing in it differs between two computers with the same project, so that CI and a laptop do not undo each other.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { hoursWithin } from "../budget.ts";
import type { StackConfig } from "../config.ts";
import { runIdOfMachine } from "../run-id.ts";
import type { StoreConfig } from "../storage/access.ts";
import { readContent } from "./content.ts";
import { controlFiles, runHashes } from "./control-files.ts";
import { portablePath } from "./local-path.ts";
import type { PushRequest, RunSpec } from "./request.ts";

export interface DeployOptions {
  root: string;
  config: StackConfig;
  runId: string;
  /** Path of the private key, or null. */
  identityFile: string | null;
  bundles: Bundles;
}

/** Paths of what is built for machines. */
export interface Bundles {
  agent: string;
  /** The public modules `vastlane/<name>`, by name. */
  modules: Record<string, string>;
}

/** A request with the machine left open. */
export interface DeploySpec {
  request: Omit<PushRequest, "target" | "run" | "pricePerHour"> & {
    run: Omit<RunSpec, "contractId" | "maxHours">;
    identityFile: string | null;
  };
  budget: { maxHours: number; maxUsd: number };
  /** Changes with every byte that would be sent; a resource trigger. */
  contentHash: string;
  /** What the run's record is compared with. */
  hashes: { codeHash: string; paramsHash: string };
  /** Paths that are left out because they look like secrets, for a warning. */
  leftOut: { path: string; reason: string }[];
}

/** @throws UserError VL_BAD_CONFIG, VL_DEPLOY_FAILED as `readContent` does. */
export function deploySpec({ root, config, runId, identityFile, bundles }: DeployOptions): DeploySpec {
  const content = readContent(root, config.workspace.sync);
  const { everySteps, everySeconds, keepLast, keepRemote, keepEvery, keepBest } = config.checkpoint;
  const request: DeploySpec["request"] = {
    sync: config.workspace.sync,
    bundles: {
      agent: portablePath(bundles.agent, root),
      modules: Object.fromEntries(
        Object.entries(bundles.modules).map(([name, path]) => [name, portablePath(path, root)]),
      ),
    },
    requirements: config.workspace.requirements,
    setup: config.workspace.setup,
    secretNames: config.secrets,
    store: storeRequest(config),
    identityFile: identityFile === null ? null : portablePath(identityFile, root),
    run: {
      runId,
      command: config.experiment.command,
      cwd: ".",
      env: config.experiment.env,
      params: config.experiment.params,
      mode: config.mode,
      graceSeconds: 30,
      maxCrashes: 5,
      onCodeChange: config.experiment.onCodeChange,
      onParamChange: config.experiment.onParamChange,
      generation: 0,
      checkpoint: { everySteps, everySeconds, keepLast, keepRemote, keepEvery, keepBest },
      idleMinutes: config.budget.idleMinutes,
      onDone: onDoneOf(config),
    },
  };
  const { maxHours, maxUsd } = config.budget;
  const budget = { maxHours, maxUsd };
  return {
    request,
    budget,
    contentHash: hashOf(content.hash, [bundles.agent, ...Object.values(bundles.modules)], { request, budget }),
    hashes: runHashes(request.run, content.hash),
    leftOut: content.leftOut,
  };
}

/** A stopped machine keeps its disk, for money: only where that may hold the only copy of something. */
export function onDoneOf({ budget, checkpoint, experiment }: StackConfig): "destroy" | "stop" {
  if (budget.onDone !== "auto") return budget.onDone;
  return experiment.command === null || checkpoint.store === "none" ? "stop" : "destroy";
}

function storeRequest({ market, checkpoint }: StackConfig): StoreConfig | null {
  const { store, s3_bucket, s3_prefix, endpoint, region } = checkpoint;
  return store === "none" ? null : { market, checkpoint: { store, s3_bucket, s3_prefix, endpoint, region } };
}

/** The same for a run that has begun anew so many times: another number deploys again, and the agent sees it. */
export function ofGeneration(spec: DeploySpec, generation: number): DeploySpec {
  if (generation === 0) return spec;
  const contentHash = createHash("sha256").update(`${spec.contentHash} ${generation}`).digest("hex");
  return {
    ...spec,
    contentHash,
    request: { ...spec.request, run: { ...spec.request.run, generation } },
  };
}

/** The request for the machine of that name, whose price (USD per hour) says how long its budget lasts. */
export function requestFor(
  spec: Pick<DeploySpec, "request" | "budget">,
  machine: Omit<PushRequest["target"], "identityFile">,
  pricePerHour: number,
  name: string,
): PushRequest {
  const { identityFile, run, ...rest } = spec.request;
  const maxHours = hoursWithin(spec.budget, pricePerHour);
  return {
    ...rest,
    pricePerHour,
    target: { ...machine, identityFile },
    run: { ...run, runId: runIdOfMachine(run.runId, name), contractId: machine.contractId, maxHours },
  };
}

/** Project, bundles and our own scripts, as they would be for one fixed workspace. */
function hashOf(contentHash: string, bundles: string[], spec: Pick<DeploySpec, "request" | "budget">): string {
  const hash = createHash("sha256").update(contentHash).update(JSON.stringify(spec.request.store));
  for (const bundle of bundles) hash.update(readFileSync(bundle));
  const anyMachine = requestFor(spec, { contractId: 0, user: "root", addresses: [], hostKeys: null }, 0, "main");
  for (const { name, text } of controlFiles(anyMachine, "/workspace", contentHash, {}))
    hash.update(`${name}\n${text}\n`);
  return hash.digest("hex");
}
