/**
 * The agent's life: turns what happens to the command, the clock and the disk into events, asks the table in
 * supervise.ts, and does what it says. It takes no decision of its own but how the command has ended.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";
import { readFileIfThere } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { newestCheckpoint } from "../checkpoint/index.ts";
import { afterCrash } from "./backoff.ts";
import { type CommandEnd, endGroup, type RunningCommand, startCommand } from "./command.ts";
import { commandEnv, parseContainerEnv, SUPERVISED_BY } from "./command-env.ts";
import { unixSeconds } from "./heartbeat.ts";
import { openOutputPipe } from "./output-pipe.ts";
import { markedGroups } from "./process-table.ts";
import { watchProgress } from "./progress.ts";
import { continueRecord, deadlineOf, readRecord } from "./record.ts";
import { createReporter } from "./reporter.ts";
import { openRotatingFile } from "./rotating-file.ts";
import { parseEnvFile, readRun } from "./run-file.ts";
import { type Action, type Event, SHOWN, type State, step } from "./supervise.ts";
import type { Workspace } from "./workspace.ts";

const OUTPUT_LIMITS = { maxBytes: 16 << 20, keep: 3 };

export interface AgentOptions {
  workspace: Workspace;
  clock: Clock;
  log: Log;
  /** The agent's own environment, and the text of /proc/1/environ where it can be read. */
  env: NodeJS.ProcessEnv;
  containerEnviron: string | undefined;
  /** Whether a run that was given up on gets another try (a redeploy asks for it, a machine start does not). */
  retryFailed: boolean;
  /** Between two heartbeats; changes of state are written at once. */
  heartbeatMs: number;
}

export interface Agent {
  /** Stops the command (grace, then SIGKILL), then the agent. */
  terminate(): void;
  ended: Promise<void>;
}

export function startAgent({ workspace, clock, log, ...options }: AgentOptions): Agent {
  const { files } = workspace;
  const startedAt = unixSeconds(clock.now());
  const { run, problem } = readRun(files.run, join(workspace.root, "project"));
  const present = { seconds: startedAt, metricsBytes: sizeOf(files.metrics), retryFailed: options.retryFailed };
  let record = run && continueRecord(readRecord(files.record), run, present);
  const deadline = run && record && deadlineOf(run, bornAt(files.born) ?? record.firstStartedAt);
  const checkpointDir = run?.env.VASTLANE_CHECKPOINT_DIR ?? workspace.checkpoints;
  const graceMs = (run?.graceSeconds ?? 30) * 1000;
  const mark = `${SUPERVISED_BY}=${workspace.root}`;

  const progress = watchProgress(files.metrics, record?.metricsFrom ?? 0, checkpointDir);
  const output = openRotatingFile(files.output, OUTPUT_LIMITS);
  const pipe = openOutputPipe(files.outputPipe, (chunk) => output.write(chunk));
  const reporter = createReporter(files);

  let state: State = "starting";
  let command: RunningCommand | undefined;
  let starts = 0;
  let crashes = 0;
  let waitMs = 0;
  let exitCode = record?.exitCode ?? null;
  let warning = problem ?? null;
  let timer = new AbortController();
  const life = new AbortController();

  const act: Record<Action, () => void> = {
    "end-leftovers": () => void endLeftovers(),
    decide: () => dispatch(decide()),
    spawn,
    wait: () => after(waitMs, "wait-over"),
    remember: () => {
      if (!record) return;
      record = { ...record, outcome: state === "done" ? "done" : "failed", exitCode };
      reporter.record(record);
    },
    terminate: () => {
      command?.terminate();
      after(stopGraceMs(files.stopGrace) ?? graceMs, "grace-over");
    },
    kill: () => command?.kill(),
    quit: () => void quit(),
  };

  reporter.agentFile(undefined);
  if (record) reporter.record(record);
  dispatch(markedGroups(mark).length > 0 ? "leftovers" : decide());
  const ended = live();
  return { terminate: () => dispatch("terminate"), ended };

  async function live(): Promise<void> {
    while (!life.signal.aborted) {
      await clock.sleep(options.heartbeatMs, life.signal).catch(() => {});
      if (life.signal.aborted) return;
      output.refresh();
      if (isTimeOver()) dispatch("time-over");
      beat();
    }
  }

  function dispatch(event: Event): void {
    take(event);
    beat();
  }

  function take(event: Event): void {
    const next = step(state, event);
    if (next.state !== state) log(`${state} -> ${next.state}: ${event}`);
    state = next.state;
    for (const action of next.actions) act[action]();
  }

  function decide(): Event {
    if (problem) return "was-failed";
    if (!run?.command) return "no-command";
    if (record?.outcome === "done") return "was-done";
    if (record?.outcome === "failed") return "was-failed";
    return isTimeOver() ? "time-over" : "ready";
  }

  function spawn(): void {
    if (!run?.command) return;
    const secrets = parseEnvFile(readFileIfThere(files.secrets) ?? "");
    const container = parseContainerEnv(options.containerEnviron);
    const resumeFrom = newestCheckpoint(checkpointDir);
    const env = commandEnv({ workspace, run, secrets, agent: options.env, container, resumeFrom });
    const outputFd = pipe.openForCommand();
    command = startCommand({ argv: run.command, cwd: run.cwd, env, outputFd, leftoverGraceMs: graceMs, clock });
    starts += 1;
    warning = null;
    log(
      `start ${starts}: ${run.command[0]} as process ${command.pid ?? "none"}, resume from ${resumeFrom ?? "nothing"}`,
    );
    reporter.agentFile(command.pid);
    void command.ended.then(onCommandEnd);
  }

  async function onCommandEnd(end: CommandEnd): Promise<void> {
    command = undefined;
    exitCode = end.exitCode;
    timer.abort();
    const event = judge(end);
    take(event);
    // Readers of the heartbeat take its state to mean that the last line of output is there.
    await pipe.drained(1000);
    if (warning && event !== "exit-ok" && !life.signal.aborted) output.write(`[vastlane] ${warning}\n`);
    beat();
  }

  /** What an end of the command means, and what people should read about it. */
  function judge(end: CommandEnd): Event {
    if (end.exitCode === 0) return "exit-ok";
    if (state !== "running") return "crash";
    const limit = run?.maxCrashes ?? 0;
    const verdict = afterCrash(crashes, progress.hasProgressed(), limit);
    crashes = verdict.crashes;
    waitMs = verdict.delayMs;
    const what = end.problem ?? `the command ended with exit code ${end.exitCode}`;
    warning = verdict.giveUp
      ? `${what}; given up after ${crashes} crashes without progress`
      : `${what}; next try in ${waitMs / 1000} s (crash ${crashes} of at most ${limit} without progress)`;
    return verdict.giveUp ? "last-crash" : "crash";
  }

  async function endLeftovers(): Promise<void> {
    warning = "ending what an earlier agent has left running";
    await Promise.all(markedGroups(mark).map((group) => endGroup(group, graceMs, clock)));
    warning = problem ?? null;
    dispatch("leftovers-gone");
  }

  function after(ms: number, event: Event): void {
    timer.abort();
    timer = new AbortController();
    void clock.sleep(ms, timer.signal).then(
      () => dispatch(event),
      () => {}, // aborted: no longer waited for
    );
  }

  function isTimeOver(): boolean {
    const isOver = deadline !== undefined && unixSeconds(clock.now()) >= deadline;
    if (isOver && run) warning = `the time limit of ${run.maxHours} hours is over`;
    return isOver;
  }

  function beat(): void {
    const seen = progress.look();
    const time = unixSeconds(clock.now());
    reporter.heartbeat(
      {
        time,
        pid: process.pid,
        state: SHOWN[state],
        childPid: command?.pid ?? null,
        restarts: Math.max(0, starts - 1),
        exitCode,
        step: seen.metric?.step ?? null,
        loss: seen.metric?.loss ?? null,
        startedAt,
        runId: run?.runId ?? null,
        contentHash: run?.contentHash ?? null,
        checkpoint: seen.checkpoint ?? null,
        warning,
      },
      output.lostBytes(),
    );
  }

  async function quit(): Promise<void> {
    timer.abort();
    await pipe.drained(1000);
    beat();
    pipe.close();
    output.close();
    life.abort();
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

/** Unix seconds of the machine's first start, if the onstart script has written them. */
function bornAt(path: string): number | undefined {
  const seconds = Number.parseInt(readFileIfThere(path) ?? "", 10);
  return seconds > 0 ? seconds : undefined;
}

/** The grace that `stop.sh --grace S` has asked for, if it did. */
function stopGraceMs(path: string): number | undefined {
  const seconds = Number.parseFloat(readFileIfThere(path) ?? "");
  return seconds >= 0 ? seconds * 1000 : undefined;
}
