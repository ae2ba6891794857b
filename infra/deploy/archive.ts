/** The archive of a push and the script that takes it: what goes over, and what came of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { createGzip } from "node:zlib";
import { UserError } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { renderManifest } from "../../common/sent-files.ts";
import { type TarMember, tarStream } from "../../common/tar.ts";
import { shellQuote } from "../shell-quote.ts";
import type { Connection } from "./connection.ts";
import type { ContentFile } from "./content.ts";
import type { PushPlan } from "./plan.ts";

/** A file of ours for `W/.vastlane`. */
export interface StateFile {
  name: string;
  mode: number;
  bytes: Uint8Array;
}

export interface Delivery {
  root: string;
  /** The machine's W. */
  workspace: string;
  /** Project files that travel in the archive. */
  files: readonly ContentFile[];
  state: readonly StateFile[];
  plan: PushPlan;
  restart: boolean;
}

export interface Delivered {
  /** Folder on the machine with the files that were put aside, or null. */
  aside: string | null;
  /** What the agent's start script said. */
  agent: string;
}

/** What a step does, for the sentence "could not ... on the machine". */
const STEPS: Record<string, string> = {
  lock: "begin the push",
  receive: "unpack the project",
  place: "put the project's files in place",
  shell: "set up the login shell",
  dependencies: "install the dependencies",
  agent: "start the agent",
};

/** Ends the receiving script and what it has started, if that still runs; an agent has a session of its own. */
const cancelCommand = (workspace: string) =>
  `p=$(cat ${shellQuote(`${workspace}/.vastlane/push.pid`)}) && grep -q deploy-receive "/proc/$p/cmdline" && kill -TERM -- "-$p"`;

/**
 * Sends the archive and waits until the agent runs. Steps and what installers print go to `log`.
 * Cancelled, it ends the work on the machine as well; when the connection breaks, that goes on by itself.
 * @throws UserError VL_DEPLOY_FAILED or VL_DISK_FULL naming the step, SshFailure when the connection breaks.
 */
export async function deliver(
  connection: Connection,
  delivery: Delivery,
  log: Log,
  signal?: AbortSignal,
): Promise<Delivered> {
  let step = "lock";
  let stepStarted = performance.now();
  const delivered: Delivered = { aside: null, agent: "" };
  const onLine = (line: string) => {
    if (line.startsWith("@step ")) {
      const seconds = (performance.now() - stepStarted) / 1000;
      if (step === "dependencies" && seconds >= 1) log(`dependencies installed in ${seconds.toFixed(1)} s`);
      step = line.slice("@step ".length);
      stepStarted = performance.now();
    } else if (line.startsWith("@aside ")) delivered.aside = line.slice("@aside ".length);
    else if (line.startsWith("vastlane: ")) delivered.agent = line.slice("vastlane: ".length);
    else if (line.trim() !== "") log(line);
  };
  const { workspace } = delivery;
  const script = remoteScript("deploy-receive.sh", [delivery.restart ? "restart" : "keep"]);
  const packed = pipeline(tarStream(membersOf(delivery)), createGzip({ level: 1 }), () => {}); // `run` sees its errors
  const result = await connection.run(script, { input: packed, onLine }).catch(async (error: unknown) => {
    if (signal?.aborted) await connection.lastWord(cancelCommand(workspace));
    throw error;
  });
  if (result.code !== 0 || step !== "done") throw deployFailure(STEPS[step] ?? "finish the push", result.tail);
  return delivered;
}

/** A script of `templates/` as a command for any login shell, with arguments. */
export function remoteScript(name: string, args: readonly string[] = []): string {
  const text = readFileSync(new URL(`../../templates/${name}`, import.meta.url), "utf8");
  return ["exec", "sh", "-c", text, name.replace(/\.sh$/, ""), ...args].map(shellQuote).join(" ");
}

/** The error for a command that failed on the machine, with its last words. */
export function deployFailure(what: string, tail: string): UserError {
  const lines = tail.split(/\r?\n/).filter((line) => line.trim() !== "" && !line.startsWith("@"));
  const why = lines.slice(-6).join("\n") || "it printed nothing";
  if (/No space left on device|ENOSPC|Disk quota exceeded|File too large/i.test(tail)) {
    return new UserError("VL_DISK_FULL", {
      what: `could not ${what}: the machine's disk is full`,
      why,
      hint: "delete what is not needed there (`npx vastlane ssh`, then `du -xh /workspace | sort -h | tail`), or set a larger vastlane:machine.diskGB",
    });
  }
  return new UserError("VL_DEPLOY_FAILED", {
    what: `could not ${what} on the machine`,
    why,
    hint: "correct the cause and run `up` again: it goes on where this one stopped",
  });
}

function* membersOf({ root, files, state, plan }: Delivery): Generator<TarMember> {
  const now = Math.floor(Date.now() / 1000);
  const bytes = (path: string, text: string): TarMember => ({
    path,
    mode: 0o600,
    mtime: now,
    content: { kind: "bytes", bytes: Buffer.from(text) },
  });
  yield bytes("plan/manifest", renderManifest(plan.manifest));
  yield bytes("plan/remove", nulEnded(plan.remove));
  yield bytes("plan/aside", nulEnded(plan.putAside));
  for (const folder of foldersOf(files)) yield { path: folder, mode: 0o755, mtime: now, content: { kind: "folder" } };
  for (const file of files) {
    const source = join(root, file.path);
    const content: TarMember["content"] =
      file.link === null ? { kind: "file", source, size: file.size } : { kind: "link", target: file.link };
    yield { path: `project/${file.path}`, mode: file.mode, mtime: file.mtime, content };
  }
  for (const { name, mode, bytes: content } of state) {
    yield { path: `state/${name}`, mode, mtime: now, content: { kind: "bytes", bytes: content } };
  }
  // Last: its presence says that everything before it arrived.
  yield bytes("plan/complete", "");
}

function foldersOf(files: readonly ContentFile[]): string[] {
  const folders = new Set<string>(["project", "state"]);
  for (const { path } of files) {
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1))
      folders.add(`project/${path.slice(0, at)}`);
  }
  return [...folders].sort();
}

function nulEnded(paths: readonly string[]): string {
  return paths.map((path) => `${path}\0`).join("");
}
