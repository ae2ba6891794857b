/**
 * The command's environment. Sessions over SSH inherit nothing of the container's on Vast, so the agent takes it
 * from PID 1: a command sees the same variables whether deploy or a machine start has started the agent. Pure.
 */
import { delimiter, join } from "node:path";
import type { Run } from "./run-file.ts";
import type { Workspace } from "./workspace.ts";

export interface EnvSources {
  workspace: Workspace;
  run: Run;
  secrets: Record<string, string>;
  /** Environment of the agent itself, and of the container's first process (empty where that is not ours). */
  agent: NodeJS.ProcessEnv;
  container: Record<string, string>;
  /** Folder of the newest checkpoint, or undefined. */
  resumeFrom: string | undefined;
}

/** Marks what descends from our command, so that a later agent finds what a killed one has left. */
export const SUPERVISED_BY = "VASTLANE_SUPERVISED_IN";

/** Later sources win: agent, container, defaults of ours that may be overridden, stack, secrets, contract. */
export function commandEnv(sources: EnvSources): Record<string, string> {
  const { workspace, run } = sources;
  const base = { ...withoutSession(sources.agent), ...sources.container };
  // What deploy had to install because the image lacks it; login shells put the same in front.
  const tools = [join(workspace.state, "venv", "bin"), join(workspace.state, "bin")];
  const env: Record<string, string> = {
    ...base,
    PATH: joinPaths(...tools, sources.container.PATH, sources.agent.PATH),
    // Without it, Python keeps its output back in a pipe, and the last lines before a kill are lost.
    PYTHONUNBUFFERED: "1",
    ...visibleGpus(base),
    ...run.env,
    ...sources.secrets,
    VASTLANE_RUN_ID: run.runId,
    VASTLANE_WORKSPACE: workspace.root,
    VASTLANE_CHECKPOINT_DIR: run.env.VASTLANE_CHECKPOINT_DIR ?? workspace.checkpoints,
    VASTLANE_RESUME_FROM: sources.resumeFrom ?? "",
    VASTLANE_LOG_DIR: workspace.logs,
    VASTLANE_PARAMS: JSON.stringify(run.params),
    VASTLANE_CHECKPOINT_EVERY_STEPS: run.env.VASTLANE_CHECKPOINT_EVERY_STEPS ?? String(run.checkpoint.everySteps),
    VASTLANE_CHECKPOINT_EVERY_SECONDS: run.env.VASTLANE_CHECKPOINT_EVERY_SECONDS ?? String(run.checkpoint.everySeconds),
    VASTLANE_KEEP_LAST: run.env.VASTLANE_KEEP_LAST ?? String(run.checkpoint.keepLast),
    DEV_MODE: run.mode === "dev" ? "True" : "False",
    [SUPERVISED_BY]: workspace.root,
  };
  // The machine's own key could end the machine; what trains has no use for it, and logs have a way to print env.
  delete env.CONTAINER_API_KEY;
  return env;
}

/** The environment of /proc/1, if that is the first process of a rented container; else empty. */
export function parseContainerEnv(environ: string | undefined): Record<string, string> {
  const pairs = (environ ?? "").split("\0").map((entry) => {
    const at = entry.indexOf("=");
    return [entry.slice(0, at), entry.slice(at + 1)] as const;
  });
  const env = Object.fromEntries(pairs.filter(([name]) => name !== ""));
  return env.CONTAINER_ID ? env : {};
}

/** Variables that belong to the login which happened to start the agent, or to the agent. */
function withoutSession(env: NodeJS.ProcessEnv): Record<string, string> {
  const isSession =
    /^(SSH_.*|XDG_.*|TERM|TMUX.*|STY|PWD|OLDPWD|SHLVL|_|LS_COLORS|MAIL|NODE_OPTIONS|VASTLANE_READY_FD|VASTLANE_HEARTBEAT_MS|VASTLANE_(LEASE_TTL|SNAPSHOT|IDLE)_SECONDS)$/;
  const kept = Object.entries(env).filter(([name, value]) => value !== undefined && !isSession.test(name));
  return Object.fromEntries(kept) as Record<string, string>;
}

/** One search path of several, each folder once. */
function joinPaths(...paths: (string | undefined)[]): string {
  const folders = paths.flatMap((path) => (path ?? "").split(delimiter)).filter((folder) => folder !== "");
  return [...new Set(folders)].join(delimiter);
}

/** All GPUs of the machine, by index, unless somebody chose already. */
function visibleGpus(env: Record<string, string>): Record<string, string> {
  const count = Number(env.GPU_COUNT);
  if (env.CUDA_VISIBLE_DEVICES !== undefined || !Number.isInteger(count) || count < 1) return {};
  return { CUDA_VISIBLE_DEVICES: Array.from({ length: count }, (_, index) => index).join(",") };
}
