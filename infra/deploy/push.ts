/**
 * Brings a machine up to date with the project and starts the agent on it: a library, and the script that the
 * `Deploy` resource runs (`node infra/deploy/push.ts`, the request in $VASTLANE_PUSH).
 *
 * One SSH connection: a probe tells what lies there, the plan is made here (plan.ts), one archive goes over
 * (templates/deploy-receive.sh). Killed at any point, nothing on the machine is half-written, and the next push
 * goes on. Knows nothing of Pulumi.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { messageOf, UserError } from "../../common/errors.ts";
import { fileLog, type Log, silent } from "../../common/log.ts";
import { named } from "../../common/named.ts";
import { environmentOf, findProjectRoot, stateFolder } from "../project.ts";
import { shellQuote } from "../shell-quote.ts";
import { SshFailure } from "../ssh/failure.ts";
import { readPin } from "../ssh/known-hosts.ts";
import type { SshTarget } from "../ssh/target.ts";
import { keysIn, resolveStore } from "../storage/access.ts";
import type { StoreFile } from "../storage/run-access.ts";
import { resolveMarket } from "../vast/market.ts";
import { deliver, deployFailure, remoteScript, type StateFile } from "./archive.ts";
import { sendBulk, splitBulk } from "./bulk.ts";
import { type Connection, openConnection, RemoteError } from "./connection.ts";
import { type Content, readContent, sizeText } from "./content.ts";
import { controlFiles } from "./control-files.ts";
import { localPath } from "./local-path.ts";
import { type PushPlan, planPush } from "./plan.ts";
import { parseProbe, type RemoteState } from "./remote-state.ts";
import { type PushRequest, parseRequest, REQUEST_VARIABLE, STDIN_VARIABLE } from "./request.ts";

/** In one line of progress. */
const MOST_NAMES = 20;

export interface PushWorld {
  /** The project's folder. */
  root: string;
  /** Values of the request's secrets; missing ones are left out, and that is said. */
  secrets: Record<string, string>;
  /** How the machine reaches the run's store; absent: it has none. */
  store?: StoreFile | undefined;
  log?: Log;
  signal?: AbortSignal;
}

export interface PushReport {
  files: number;
  sent: string[];
  removed: string[];
  /** Edited on the machine and therefore left alone. */
  kept: string[];
  /** Edited on the machine and overwritten; the machine's version lies in `aside`. */
  putAside: string[];
  aside: string | null;
  restarted: boolean;
  seconds: number;
}

/** Broken connections are met with another attempt: a push can be repeated at any point. */
const PAUSES_MS = [1000, 3000];
const WORTH_ANOTHER_ATTEMPT = new Set(["refused", "closed", "lost", "timeout", "unreachable"]);

/**
 * Sends what has changed and makes the agent run it. Idempotent.
 * @throws UserError VL_DEPLOY_FAILED, VL_DISK_FULL, VL_BAD_CONFIG; SshFailure when the machine cannot be reached.
 */
export async function push(request: PushRequest, world: PushWorld): Promise<PushReport> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await pushOnce(request, world);
    } catch (error) {
      const pauseMs = PAUSES_MS[attempt];
      if (pauseMs === undefined || !(error instanceof SshFailure) || !WORTH_ANOTHER_ATTEMPT.has(error.reason)) {
        throw error;
      }
      world.log?.(`${error.what} (${error.reason}); trying again`);
      await sleep(pauseMs, undefined, world.signal === undefined ? {} : { signal: world.signal });
    }
  }
}

async function pushOnce(request: PushRequest, world: PushWorld): Promise<PushReport> {
  const { root, log = silent, signal } = world;
  const started = performance.now();
  let content: Content | undefined;
  // While OpenSSH shakes hands, the project is read.
  const pathList = () => {
    content ??= readContent(root, request.sync);
    const list = Buffer.from(content.files.map((file) => `${file.path}\0`).join(""));
    return Buffer.concat([Buffer.from(`${list.length}\n`), list]);
  };
  const connection = await connect(targetOf(request, root), pathList, signal);
  try {
    const project = content ?? readContent(root, request.sync);
    const remote = parseProbe(connection.answer, Date.now() / 1000);
    sayLeftOut(project, request, world);
    const plan = await settle(project, remote, connection);
    const report = await sendAll(request, world, { project, remote, plan, connection });
    const seconds = (performance.now() - started) / 1000;
    log(`machine ready in ${seconds.toFixed(1)} s: ${report.agent || "agent runs"}`);
    return { ...report.push, seconds };
  } finally {
    await connection.close();
  }
}

/** Pinned keys come with the request, or from this computer's first contact. */
function targetOf(request: PushRequest, root: string): SshTarget {
  const { target } = request;
  return {
    ...target,
    hostKeys: target.hostKeys ?? readPin(stateFolder(root), target.contractId),
    identityFile: target.identityFile === null ? null : localPath(target.identityFile, root),
  };
}

async function connect(target: SshTarget, pathList: () => Uint8Array, signal?: AbortSignal): Promise<Connection> {
  try {
    return await openConnection(target, remoteScript("deploy-probe.sh"), pathList, signal);
  } catch (error) {
    if (error instanceof RemoteError) throw deployFailure("make the workspace folder", error.result.tail);
    throw error;
  }
}

function sayLeftOut(project: Content, request: PushRequest, { log = silent, secrets }: PushWorld): void {
  for (const { path, reason } of project.leftOut) log(`left out: ${path} ${reason}`);
  for (const name of request.secretNames) {
    if (secrets[name] === undefined) log(`the secret ${name} has no value here; it is not set on the machine`);
  }
}

/** The plan; where an edited file may have become the same as ours, its hash on the machine decides. */
async function settle(project: Content, remote: RemoteState, connection: Connection): Promise<PushPlan> {
  const situation = { local: project.files, sent: remote.sent, remote: remote.files, clockAhead: remote.clockAhead };
  const plan = planPush(situation);
  if (plan.doubtful.length === 0) return plan;
  const sums = `cd ${shellQuote(`${remote.workspace}/project`)} && xargs -0 sha256sum --`;
  const paths = async function* () {
    yield Buffer.from(plan.doubtful.map((path) => `${path}\0`).join(""));
  };
  const { stdout } = await connection.run(sums, { input: paths() });
  const remoteHashes = new Map(
    stdout.split("\n").flatMap((line): [string, string][] => {
      const match = /^([0-9a-f]{64}) [ *](.+)$/.exec(line);
      return match?.[1] && match[2] ? [[match[2], match[1]]] : [];
    }),
  );
  return planPush({ ...situation, remoteHashes });
}

interface Known {
  project: Content;
  remote: RemoteState;
  plan: PushPlan;
  connection: Connection;
}

async function sendAll(
  request: PushRequest,
  world: PushWorld,
  { project, remote, plan, connection }: Known,
): Promise<{ push: Omit<PushReport, "seconds">; agent: string }> {
  const { root, log = silent, signal } = world;
  const state = stateFiles(request, world, project, remote);
  const bytes = plan.send.reduce((sum, file) => sum + file.size, 0);
  log(describePlan(project, plan, bytes));
  refuseWithoutSpace(bytes, remote);
  const { bulk, rest } = await splitBulk(plan.send, remote.rsync);
  if (bulk.length > 0) await sendBulk(connection, { root, workspace: remote.workspace }, bulk, log, signal);
  const restart = state.changesRun || (request.run.command !== null && plan.send.length + plan.remove.length > 0);
  const { aside, agent } = await deliver(
    connection,
    { root, workspace: remote.workspace, files: rest, state: state.files, plan, restart },
    log,
    signal,
  );
  if (plan.kept.length > 0) log(`kept, as edited on the machine: ${named(plan.kept, MOST_NAMES)}`);
  if (aside !== null)
    log(`overwritten, though edited on the machine: ${named(plan.putAside, MOST_NAMES)}; its version is in ${aside}`);
  const sent = plan.send.map((file) => file.path);
  const { kept, putAside, remove: removed } = plan;
  return { push: { files: project.files.length, sent, removed, kept, putAside, aside, restarted: restart }, agent };
}

/** Our own files for the machine; `changesRun` when the agent must begin anew because of them. */
function stateFiles(
  request: PushRequest,
  { root, secrets, store }: PushWorld,
  project: Content,
  remote: RemoteState,
): { files: StateFile[]; changesRun: boolean } {
  const wanted = Object.fromEntries(Object.entries(secrets).filter(([name]) => request.secretNames.includes(name)));
  const files = controlFiles(request, remote.workspace, project.hash, wanted).map(
    ({ name, mode, text }): StateFile => ({ name, mode, bytes: Buffer.from(text) }),
  );
  if (store) files.push({ name: "store.json", mode: 0o600, bytes: Buffer.from(storeText(store, remote)) });
  const bundle = readFileSync(localPath(request.bundles.agent, root));
  const isOther = (name: string, bytes: Uint8Array) =>
    remote.stateHashes.get(name) !== createHash("sha256").update(bytes).digest("hex");
  const bytesOf = (name: string) => files.find((file) => file.name === name)?.bytes ?? Buffer.alloc(0);
  for (const [module, path] of Object.entries(request.bundles.modules)) {
    const file = { name: `${module}.mjs`, mode: 0o644, bytes: readFileSync(localPath(path, root)) };
    if (isOther(file.name, file.bytes)) files.push(file);
  }
  const isNewAgent = isOther("agent.mjs", bundle);
  if (isNewAgent) files.push({ name: "agent.mjs", mode: 0o644, bytes: bundle });
  const run = JSON.parse(Buffer.from(bytesOf("run.json")).toString()) as unknown;
  const changesRun =
    isNewAgent ||
    !isDeepStrictEqual(remote.run, run) ||
    ["env", "secrets.env"].some((name) => isOther(name, bytesOf(name))) ||
    (store === undefined ? remote.stateHashes.has("store.json") : isOther("store.json", bytesOf("store.json")));
  return { files, changesRun };
}

/** An emulated machine has a network of its own, in which the emulator's store has another address. */
function storeText(store: StoreFile, { emulatedStore }: RemoteState): string {
  const endpoint = store.emulated && emulatedStore !== null ? emulatedStore : store.endpoint;
  return `${JSON.stringify({ ...store, endpoint })}\n`;
}

function describePlan(project: Content, plan: PushPlan, bytes: number): string {
  const parts = [`project of ${project.files.length} files, ${sizeText(project.bytes)}`];
  parts.push(plan.send.length === 0 ? "nothing changed" : `sending ${plan.send.length} (${sizeText(bytes)})`);
  if (plan.remove.length > 0) parts.push(`removing ${plan.remove.length}`);
  return parts.join("; ");
}

function refuseWithoutSpace(bytes: number, remote: RemoteState): void {
  if (remote.freeBytes === null || bytes + 5e6 < remote.freeBytes) return;
  throw new UserError("VL_DISK_FULL", {
    what: `the machine has ${sizeText(remote.freeBytes)} free, and ${sizeText(bytes)} are to be sent`,
    hint: "delete what is not needed there, send less (.vastlaneignore), or set a larger vastlane:machine.diskGB",
  });
}

/** The script: request from the environment, progress on stderr, one line of JSON on stdout. */
async function main(): Promise<void> {
  const controller = new AbortController();
  const cancel = () => controller.abort(new UserError("VL_CANCELLED", { what: "the deploy was cancelled" }));
  process.once("SIGINT", cancel).once("SIGTERM", cancel);
  // The engine's plugin is our parent. When it is killed, nobody would read what comes of this.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && cancel(), 500).unref();
  const root = findProjectRoot(process.cwd());
  const request = parseRequest(process.env[REQUEST_VARIABLE] ?? "{}");
  const log = progressLog();
  const given = process.env[STDIN_VARIABLE] ? (JSON.parse(readFileSync(0, "utf8")) as Record<string, string>) : {};
  const report = await push(request, {
    root,
    secrets: secretsOf(request, given, root),
    store: await storeFileOf(request, given, root, log),
    log,
    signal: controller.signal,
  });
  const { files, sent, removed, kept, putAside, restarted } = report;
  process.stdout.write(
    `${JSON.stringify({ files, sent: sent.length, removed: removed.length, kept, putAside, restarted })}\n`,
  );
}

/** For raw `pulumi` to show; and into the operation's log, which `vastlane up` follows. */
function progressLog(): Log {
  const file = process.env.VASTLANE_OPERATION_LOG;
  const toFile = file ? fileLog(file, "deploy") : silent;
  return (line) => {
    process.stderr.write(`${line}\n`);
    toFile(line);
  };
}

/** Given by the program (Pulumi's secret configuration), else the environment, else `.env`. */
function secretsOf(request: PushRequest, given: Record<string, string>, root: string): Record<string, string> {
  const env = environmentOf(root);
  const values = request.secretNames.map((name) => [name, given[name] ?? env[name]] as const);
  return Object.fromEntries(values.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

async function storeFileOf(
  request: PushRequest,
  given: Record<string, string>,
  root: string,
  log: Log,
): Promise<StoreFile | undefined> {
  if (request.store === null) return undefined;
  const store = resolveStore(request.store, root);
  if (!store) return undefined;
  const { runAccess } = await import("../storage/run-access.ts");
  const { file, warning } = await runAccess(store, {
    runId: request.run.runId,
    market: () => resolveMarket(request.store?.market ?? "vast", root),
    env: environmentOf(root),
    given: keysIn(given, "VASTLANE_RUN_"),
  });
  if (warning) log(`warning: ${warning}`);
  return file;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    const isExpected = error instanceof UserError;
    process.stderr.write(`${isExpected ? error.message : ((error as Error).stack ?? messageOf(error))}\n`);
    process.exitCode = isExpected && error.code === "VL_CANCELLED" ? 130 : 1;
  });
}
