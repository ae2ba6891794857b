/**
 * The agent's life: turns what happens to the command, the clock and the disk into events, asks the table in
 * supervise.ts, and does what it says. It takes no decision of its own but how the command has ended.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { newestCheckpoint } from "../checkpoint/index.ts";
import { afterCrash } from "./backoff.ts";
import { type CommandEnd, endGroup, type RunningCommand, startCommand } from "./command.ts";
import { commandEnv, parseContainerEnv, SUPERVISED_BY } from "./command-env.ts";
import { guardDisk } from "./disk-guard.ts";
import { type Cause, decideEnding, endMachine, selfAccess } from "./ending.ts";
import { unixSeconds } from "./heartbeat.ts";
import type { Occupation } from "./idle-watch.ts";
import { type Claimed, type Keeper, readPrice } from "./keeper/index.ts";
import { watchMachine } from "./machine-watch.ts";
import { openOutputPipe } from "./output-pipe.ts";
import { createPace } from "./pace.ts";
import { markedGroups, signalGroup } from "./process-table.ts";
import { watchProgress } from "./progress.ts";
import { continueRecord, deadlineOf, readRecord } from "./record.ts";
import { createReporter } from "./reporter.ts";
import { openRotatingFile } from "./rotating-file.ts";
import { parseEnvFile, readRun } from "./run-file.ts";
import { openSharedRun } from "./shared-run.ts";
import { type Facts, heartbeatOf, leaseHeartbeatOf } from "./status.ts";
import { type Action, type Event, type State, step } from "./supervise.ts";
import type { Workspace } from "./workspace.ts";

const OUTPUT_LIMITS = { maxBytes: 16 << 20, keep: 3 };
/** Of a stop's grace, so much at most is kept for the last upload. */
const UPLOAD_SHARE_MS = 10_000;
/** The last uploads may take so much longer than the grace. start.sh waits 8 s; giving the lease back takes 3 at most. */
const LEAVE_EXTRA_MS = 3_500;
/** Kept of the time limit for the last upload and snapshot, before the watchdog of onstart ends the machine. */
const SAVING_SECONDS = 120;
const LEAVE_MIN_MS = 3_000;
/** Whoever follows the output still reads its end. */
const LINGER_MS = 5_000;

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
  const container = parseContainerEnv(options.containerEnviron);
  const env = { ...options.env, ...container };
  const self = selfAccess(env);
  const read = readRun(files.run, join(workspace.root, "project"));
  const { run } = read;
  let problem = read.problem;
  const present = { seconds: startedAt, metricsBytes: sizeOf(files.metrics), retryFailed: options.retryFailed };
  let record = run && continueRecord(readRecord(files.record), run, present);
  const born = bornAt(files.born) ?? record?.firstStartedAt ?? startedAt;
  const deadline = run && deadlineOf(run, born, existsSync(files.store) ? SAVING_SECONDS : undefined);
  const checkpointDir = run?.env.VASTLANE_CHECKPOINT_DIR ?? workspace.checkpoints;
  const graceMs = (run?.graceSeconds ?? 30) * 1000;
  const mark = `${SUPERVISED_BY}=${workspace.root}`;

  let progress = watchProgress(files.metrics, record?.metricsFrom ?? 0, checkpointDir);
  const pace = createPace();
  const output = openRotatingFile(files.output, OUTPUT_LIMITS);
  const pipe = openOutputPipe(files.outputPipe, (chunk) => output.write(chunk));
  const reporter = createReporter(files);

  let state: State = "starting";
  let command: RunningCommand | undefined;
  let resumeFrom: string | undefined;
  let starts = 0;
  let crashes = 0;
  let waitMs = 0;
  let exitCode = record?.exitCode ?? null;
  let warning: string | null = problem ?? null;
  let diskWarning: string | null = null;
  let leaveBy = 0;
  /** Another machine would be rented for the run, and meet the same: this one stays until it is idle for too long. */
  let isUnsettled = false;
  let timer = new AbortController();
  /** Of what goes on beside the states: claiming, finishing, ending the machine. */
  let work = new AbortController();
  const life = new AbortController();
  const keeper = openKeeperIfShared();
  // Only of a machine that can end itself; what nobody rents bills nobody.
  const idleWatch =
    run && self
      ? watchMachine({ workspace, run, checkpointDir, env, clock, say, onIdle: () => dispatch("idle-over") })
      : undefined;

  const act: Record<Action, () => void> = {
    "end-leftovers": () => void endLeftovers(),
    decide: () => dispatch(decide()),
    claim: () => void claim(),
    spawn,
    wait: () => after(waitMs, "wait-over"),
    finish: () => void finish(),
    remember: () => {
      if (!record) return;
      record = { ...record, outcome: state === "done" ? "done" : "failed", exitCode };
      reporter.record(record);
    },
    "end-machine": () => void endThisMachine(),
    terminate: () => {
      const askedMs = stopGraceMs(files.stopGrace) ?? graceMs;
      command?.terminate();
      // A share of the grace is for the last upload.
      after(keeper ? Math.max(askedMs / 2, askedMs - UPLOAD_SHARE_MS) : askedMs, "grace-over");
    },
    kill,
    leave: () => void leave(),
    quit: () => void quit(),
  };

  reporter.agentFile(undefined);
  if (record) reporter.record(record);
  dispatch(markedGroups(mark).length > 0 ? "leftovers" : decide());
  const ended = live();
  return {
    terminate() {
      leaveBy = clock.now() + (stopGraceMs(files.stopGrace) ?? graceMs) + LEAVE_EXTRA_MS;
      dispatch("terminate");
    },
    ended,
  };

  async function live(): Promise<void> {
    while (!life.signal.aborted) {
      await clock.sleep(options.heartbeatMs, life.signal).catch(() => {});
      if (life.signal.aborted) return;
      try {
        look();
      } catch (error) {
        log(`internal: ${(error as Error).stack}`); // whatever is wrong with a disk, the command is still watched
      }
    }
  }

  /** What is done every few seconds, whatever happens. */
  function look(): void {
    output.refresh();
    if (isTimeOver()) dispatch("time-over");
    if (KEEPS_SNAPSHOTS.has(state)) keeper?.saveNowAndThen();
    idleWatch?.look(occupation());
    diskWarning = guardDisk({
      root: workspace.root,
      checkpointDir,
      logs: workspace.logs,
      saved: () => keeper?.saved().folder ?? null,
      hasStore: keeper !== undefined,
      log,
    });
    beat();
  }

  function occupation(): Occupation {
    if (state === "running") return "working";
    // Bringing a large checkpoint back may take longer than a machine may be idle.
    const isRestoring = state === "claiming" && keeper?.epoch() !== null && keeper?.saved().problem === null;
    return MAY_IDLE.has(state) && !isRestoring ? "free" : "busy";
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
    if (run && keeper) return "shared";
    if (!run?.command) return "no-command";
    if (record?.outcome === "done") return "was-done";
    if (record?.outcome === "failed") return "was-failed";
    resumeFrom = newestCheckpoint(checkpointDir);
    return isTimeOver() ? "time-over" : "ready";
  }

  function openKeeperIfShared(): Keeper | undefined {
    if (!run || problem) return undefined;
    try {
      const heartbeat = () => leaseHeartbeatOf(facts());
      const metrics = () => progress.look().metric?.values ?? {};
      const opened = openSharedRun({ workspace, run, checkpointDir, born, env, clock, log, say, heartbeat, metrics });
      opened?.onLost((loss) => {
        warning = loss.message;
        say(loss.message);
        dispatch("lease-lost");
      });
      return opened;
    } catch (error) {
      warning = messageOf(error);
      problem = warning;
      return undefined;
    }
  }

  async function claim(): Promise<void> {
    const { signal } = work;
    let event: Event;
    try {
      event = afterClaim(await (keeper as Keeper).claim(signal));
    } catch (error) {
      // Cut off by what comes next, or lost, which is told by itself.
      if (!signal.aborted && !isLost()) log(`the run is not claimed: ${messageOf(error)}`);
      return;
    }
    if (!signal.aborted && !isLost()) dispatch(event);
  }

  function afterClaim(claimed: Claimed): Event {
    if (claimed.act !== "go") {
      warning = claimed.why;
      say(claimed.why);
      isUnsettled = claimed.act === "refused" && !claimed.isSettled;
      return claimed.act === "closed" && claimed.status === "done" ? "was-done" : "was-failed";
    }
    resumeFrom = claimed.resumeFrom;
    if (claimed.isFresh && record) {
      record = { ...record, metricsFrom: sizeOf(files.metrics) };
      reporter.record(record);
      progress = watchProgress(files.metrics, record.metricsFrom, checkpointDir);
    }
    if (isTimeOver()) return "time-over";
    return run?.command ? "ready" : "no-command";
  }

  function isLost(): boolean {
    return state === "lost";
  }

  function spawn(): void {
    if (!run?.command) return;
    const secrets = parseEnvFile(readFileIfThere(files.secrets) ?? "");
    if (starts > 0) resumeFrom = newestCheckpoint(checkpointDir);
    const sources = { workspace, run, secrets, agent: options.env, container, resumeFrom };
    starts += 1;
    try {
      const outputFd = pipe.openForCommand();
      const { command: argv, cwd } = run;
      command = startCommand({ argv, cwd, env: commandEnv(sources), outputFd, leftoverGraceMs: graceMs, clock });
    } catch (error) {
      // Such as an environment that is too long, or a pipe that somebody removed: a crash like any other.
      const problem = `cannot start ${run.command[0]}: ${messageOf(error)}`;
      void Promise.resolve().then(() => onCommandEnd({ exitCode: 127, problem }));
      return;
    }
    warning = null;
    log(
      `start ${starts}: ${run.command[0]} as process ${command.pid ?? "none"}, resume from ${resumeFrom ?? "nothing"}`,
    );
    reporter.agentFile(command.pid);
    void command.ended.then(onCommandEnd);
  }

  /** Also what has left the command's group, once the run is another agent's. */
  function kill(): void {
    command?.kill();
    if (!isLost()) return;
    for (const group of markedGroups(mark)) signalGroup(group, "SIGKILL");
  }

  async function onCommandEnd(end: CommandEnd): Promise<void> {
    command = undefined;
    if (isLost()) return;
    exitCode = end.exitCode;
    timer.abort();
    const event = judge(end);
    // What was said last belongs to what is saved.
    if (event !== "crash") await pipe.drained(1000);
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

  /** Brings what the command left to safety. Without a store there is nowhere to bring it. */
  async function finish(): Promise<void> {
    if (!keeper) return take("finished");
    work.abort(); // a claim that is still under way
    work = new AbortController();
    const { signal } = work;
    const facts = { step: progress.look().metric?.step ?? null, reason: state === "finishing" ? null : warning };
    if (await keeper.finish(causeOf(state), facts, signal)) dispatch("finished");
  }

  /** Within what is left of the grace that the stop has given. */
  async function leave(): Promise<void> {
    work.abort();
    timer.abort();
    if (!keeper) return take("left");
    const leftMs = Math.max(LEAVE_MIN_MS, leaveBy - clock.now());
    await keeper.leave(AbortSignal.timeout(leftMs));
    if (!isLost()) dispatch("left");
  }

  async function endThisMachine(): Promise<void> {
    const cause = causeOf(state);
    if (isUnsettled && cause !== "idle") return;
    const ending = decideEnding({
      cause,
      hasStore: keeper !== undefined,
      isSaved: keeper?.saved().isSaved ?? false,
      wanted: run?.onDone ?? "stop",
    });
    if (ending === "stay" || !self) {
      if (self && keeper) log(`${state}: this machine stays, as what is on its disk is nowhere else`);
      return;
    }
    const { signal } = work;
    const doing = ending === "destroy" ? "destroys" : "stops";
    say(`${state}: this machine ${doing} itself in ${LINGER_MS / 1000} s`);
    await clock.sleep(LINGER_MS, signal).catch(() => {});
    if (signal.aborted) return;
    await keeper?.leave(AbortSignal.timeout(LEAVE_MIN_MS));
    log(`this machine ${doing} itself: ${state}`);
    await endMachine(ending, self, { clock, log, signal });
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

  /** To the command's output, where people look. */
  function say(line: string): void {
    log(line);
    output.write(`[vastlane] ${line}\n`);
  }

  function beat(): void {
    const known = facts();
    pace.note(known.metric?.step ?? null, known.now);
    reporter.resume(known.checkpoint && join(checkpointDir, known.checkpoint));
    reporter.heartbeat(heartbeatOf(known), output.lostBytes());
  }

  function facts(): Facts {
    const { metric, checkpoint } = progress.look();
    const saved = keeper?.saved();
    return {
      now: unixSeconds(clock.now()),
      startedAt,
      pid: process.pid,
      state,
      run,
      childPid: command?.pid,
      starts,
      exitCode,
      metric,
      stepsPerSecond: pace.stepsPerSecond(),
      checkpoint,
      store: keeper && saved && { ...saved, epoch: keeper.epoch(), spentUsd: keeper.spentUsd() },
      pricePerHour: readPrice(files.price),
      idleSeconds: idleWatch?.idleSeconds() ?? null,
      gpuUtil: idleWatch?.gpuUtil() ?? null,
      warnings: [warning, saved?.problem, idleWatch?.warning(), diskWarning],
    };
  }

  async function quit(): Promise<void> {
    timer.abort();
    work.abort();
    await pipe.drained(isLost() ? 100 : 1000);
    beat();
    pipe.close();
    output.close();
    life.abort();
  }
}

/** While a machine bills and nothing of ours works on it. */
const MAY_IDLE = new Set<State>(["idle", "claiming", "done", "failed"]);

/** While a person or a command may be changing files. */
const KEEPS_SNAPSHOTS = new Set<State>(["idle", "running", "waiting", "done", "failed"]);

/** The states in which something comes to an end, and why. */
const CAUSES: Partial<Record<State, Cause>> = {
  finishing: "done",
  done: "done",
  "giving-up": "failed",
  failed: "failed",
  closing: "over-budget",
  expired: "over-budget",
};

function causeOf(state: State): Cause {
  return CAUSES[state] ?? "idle";
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
