/** The files of ours that a push writes into `W/.vastlane` on the machine, beside the project. Pure but for templates. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { UserError } from "../../common/errors.ts";
import { renderTemplate } from "../templates.ts";
import { canonicalJson } from "../vast/label.ts";
import type { PushRequest, RunSpec } from "./request.ts";

/** The Node that machines without one get; archives as published, checked by hash. */
const NODE = {
  nodeVersion: "24.11.1",
  nodeSha256: {
    x64: "58a5ff5cc8f2200e458bea22e329d5c1994aa1b111d499ca46ec2411d58239ca",
    arm64: "0dc93ec5c798b0d347f068db6d205d03dea9a71765e6a53922b682b91265d71f",
  },
};

export interface ControlFile {
  name: string;
  mode: number;
  text: string;
}

/**
 * All control files except the agent itself. `workspace` is the machine's W, `contentHash` that of the project.
 * @throws UserError VL_BAD_CONFIG for a secret that cannot stand on one line.
 */
export function controlFiles(
  request: PushRequest,
  workspace: string,
  contentHash: string,
  secrets: Record<string, string>,
): ControlFile[] {
  const state = `${workspace}/.vastlane`;
  const { requirements, setup } = request;
  const plain = (name: string) => readFileSync(new URL(`../../templates/${name}`, import.meta.url), "utf8");
  const deps = { ...NODE, ...moduleFacts(request), requirements: requirements ?? "", setup: setup ?? "" };
  return [
    { name: "run.json", mode: 0o600, text: `${JSON.stringify(runFile(request.run, workspace, contentHash))}\n` },
    { name: "env", mode: 0o600, text: envLines(shellEnvironment(request.run, workspace)) },
    { name: "secrets.env", mode: 0o600, text: envLines(oneLineSecrets(secrets)) },
    // Read by the watchdog of onstart: the rent's own limit is only the one that held then.
    {
      name: "limit",
      mode: 0o644,
      text: request.run.maxHours === null ? "" : `${Math.ceil(request.run.maxHours * 3600)}\n`,
    },
    // Apart from run.json: it moves, and no price is worth a restart.
    { name: "price", mode: 0o644, text: `${request.pricePerHour}\n` },
    { name: "profile.sh", mode: 0o644, text: renderTemplate("profile.sh.hbs", { state }) },
    { name: "install_deps.sh", mode: 0o755, text: renderTemplate("install_deps.sh.hbs", deps) },
    { name: "start.sh", mode: 0o755, text: plain("start.sh") },
    { name: "stop.sh", mode: 0o755, text: plain("stop.sh") },
  ];
}

/** Names of the public modules, and the package.json that makes `vastlane/<name>` of them. */
function moduleFacts({ bundles }: PushRequest): { modules: string; modulePackage: string } {
  const names = Object.keys(bundles.modules).sort();
  const exports = Object.fromEntries(names.map((name) => [`./${name}`, `./${name}.mjs`]));
  return { modules: names.join(" "), modulePackage: JSON.stringify({ name: "vastlane", type: "module", exports }) };
}

/** `run.json`. Its hash covers what makes it another job: project, command and settings. A dev box has no job. */
export function runFile(run: RunSpec, workspace: string, contentHash: string): Record<string, unknown> {
  const job = createHash("sha256")
    .update(JSON.stringify([contentHash, run.command, run.cwd, run.env, run.params, run.mode]))
    .digest("hex");
  const cwd = run.cwd === "." || run.cwd === "" ? `${workspace}/project` : `${workspace}/project/${run.cwd}`;
  return { ...run, cwd, contentHash: run.command === null ? "" : job, ...runHashes(run, contentHash) };
}

/**
 * What the run's record remembers, so that changed code and changed parameters are told apart. In a dev box a person
 * changes both all day: there neither means anything.
 */
export function runHashes(
  { command, params, mode, env }: Pick<RunSpec, "command" | "params" | "mode" | "env">,
  contentHash: string,
): { codeHash: string; paramsHash: string } {
  if (command === null) return { codeHash: "", paramsHash: "" };
  const paramsHash = createHash("sha256")
    .update(canonicalJson([command, params, mode, env]))
    .digest("hex");
  return { codeHash: contentHash, paramsHash };
}

/** What shells on the machine see, so that a script run by hand finds what the training command finds. */
export function shellEnvironment(run: RunSpec, workspace: string): Record<string, string> {
  return {
    ...run.env,
    VASTLANE_WORKSPACE: workspace,
    VASTLANE_RUN_ID: run.runId,
    VASTLANE_CONTRACT_ID: String(run.contractId),
    VASTLANE_CHECKPOINT_DIR: run.env.VASTLANE_CHECKPOINT_DIR ?? `${workspace}/persistent/checkpoints`,
    VASTLANE_LOG_DIR: `${workspace}/logs`,
    VASTLANE_PARAMS: JSON.stringify(run.params),
    VASTLANE_CHECKPOINT_EVERY_STEPS: run.env.VASTLANE_CHECKPOINT_EVERY_STEPS ?? String(run.checkpoint.everySteps),
    VASTLANE_CHECKPOINT_EVERY_SECONDS: run.env.VASTLANE_CHECKPOINT_EVERY_SECONDS ?? String(run.checkpoint.everySeconds),
    VASTLANE_KEEP_LAST: run.env.VASTLANE_KEEP_LAST ?? String(run.checkpoint.keepLast),
    DEV_MODE: run.mode === "dev" ? "True" : "False",
  };
}

/** `K=V` lines, the value as it is. A value with a line break cannot stand there: only the command gets it. */
function envLines(env: Record<string, string>): string {
  return Object.entries(env)
    .filter(([name, value]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !/[\n\r]/.test(value))
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

function oneLineSecrets(secrets: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(secrets)) {
    if (!/[\n\r]/.test(value)) continue;
    throw new UserError("VL_BAD_CONFIG", {
      what: `the secret ${name} has line breaks`,
      why: "the machine's environment file holds one variable per line",
      hint: "encode it (base64, or JSON on one line) and decode it in your code",
    });
  }
  return secrets;
}
