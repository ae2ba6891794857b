/**
 * What the agent does when something happens, as one table: state x event -> next state, actions.
 * Pure: agent.ts turns the world into events and carries the actions out. A pair that is not in the table is
 * ignored, as events may come late (a grace that runs out just after the command has ended).
 */

export type State =
  | "starting"
  /** Ending what an agent that was killed has left running. */
  | "reaping"
  /** Waiting for the run's lease, then asking what to do and fetching what there is to go on from. */
  | "claiming"
  /** No command to run: a dev box. */
  | "idle"
  | "running"
  /** Crashed; waits before the next attempt. */
  | "waiting"
  /** The command has ended well; what it left is brought to safety. */
  | "finishing"
  | "done"
  /** As finishing, for a run that is given up on. */
  | "giving-up"
  | "failed"
  /** Told to stop; the command has its grace. */
  | "stopping"
  /** Told to stop, the command is gone: the last uploads, within what is left of the grace. */
  | "leaving"
  | "stopped"
  /** Time or money is used up; the command has its grace. */
  | "expiring"
  /** As finishing, for a run whose time or money is used up. */
  | "closing"
  | "expired"
  /** As finishing, for a machine that nobody uses. */
  | "retiring"
  | "retired"
  /** Another agent has taken the run over. */
  | "lost";

export type Event =
  | "leftovers"
  | "leftovers-gone"
  /** There is a store, so the run has to be claimed before anything is known. */
  | "shared"
  | "no-command"
  | "was-done"
  | "was-failed"
  | "ready"
  | "exit-ok"
  | "crash"
  | "last-crash"
  | "wait-over"
  | "terminate"
  | "grace-over"
  | "time-over"
  | "idle-over"
  /** What had to be brought to safety is safe. */
  | "finished"
  /** It is safe, or the grace is over. */
  | "left"
  | "lease-lost";

export type Action =
  | "end-leftovers"
  | "decide"
  | "claim"
  | "spawn"
  | "wait"
  | "finish"
  | "remember"
  | "end-machine"
  | "terminate"
  | "kill"
  | "leave"
  | "quit";

type Step = readonly [State, ...Action[]];

export const TRANSITIONS: Record<State, Partial<Record<Event, Step>>> = {
  starting: {
    leftovers: ["reaping", "end-leftovers"],
    shared: ["claiming", "claim"],
    "no-command": ["idle"],
    "was-done": ["done"],
    "was-failed": ["failed"],
    "time-over": ["expired"],
    ready: ["running", "spawn"],
    terminate: ["stopped", "quit"],
  },
  reaping: {
    "leftovers-gone": ["starting", "decide"],
    terminate: ["stopping"],
  },
  claiming: {
    "no-command": ["idle"],
    "was-done": ["done", "end-machine"],
    "was-failed": ["failed", "end-machine"],
    "time-over": ["closing", "finish"],
    ready: ["running", "spawn"],
    terminate: ["leaving", "leave"],
    "idle-over": ["retiring", "finish"],
    "lease-lost": ["lost", "quit"],
  },
  running: {
    "exit-ok": ["finishing", "finish"],
    crash: ["waiting", "wait"],
    "last-crash": ["giving-up", "finish"],
    terminate: ["stopping", "terminate"],
    "time-over": ["expiring", "terminate"],
    "lease-lost": ["lost", "kill", "quit"],
  },
  waiting: {
    "wait-over": ["running", "spawn"],
    terminate: ["leaving", "leave"],
    "time-over": ["closing", "finish"],
    "lease-lost": ["lost", "quit"],
  },
  finishing: {
    finished: ["done", "remember", "end-machine"],
    terminate: ["leaving", "leave"],
    "lease-lost": ["lost", "quit"],
  },
  "giving-up": {
    finished: ["failed", "remember", "end-machine"],
    terminate: ["leaving", "leave"],
    "lease-lost": ["lost", "quit"],
  },
  // A command that exits 0 because it was told to stop is not done: it left a checkpoint and wants to go on.
  stopping: {
    "exit-ok": ["leaving", "leave"],
    crash: ["leaving", "leave"],
    "last-crash": ["leaving", "leave"],
    "leftovers-gone": ["leaving", "leave"],
    "grace-over": ["stopping", "kill"],
    "lease-lost": ["lost", "kill", "quit"],
  },
  leaving: {
    left: ["stopped", "quit"],
    "lease-lost": ["lost", "quit"],
  },
  expiring: {
    "exit-ok": ["closing", "finish"],
    crash: ["closing", "finish"],
    "last-crash": ["closing", "finish"],
    "grace-over": ["expiring", "kill"],
    terminate: ["stopping"],
    "lease-lost": ["lost", "kill", "quit"],
  },
  closing: {
    finished: ["expired", "end-machine"],
    terminate: ["leaving", "leave"],
    "lease-lost": ["lost", "quit"],
  },
  retiring: {
    finished: ["retired", "end-machine"],
    terminate: ["leaving", "leave"],
    "lease-lost": ["lost", "quit"],
  },
  idle: {
    terminate: ["leaving", "leave"],
    "time-over": ["closing", "finish"],
    "idle-over": ["retiring", "finish"],
    "lease-lost": ["lost", "quit"],
  },
  done: {
    terminate: ["leaving", "leave"],
    "idle-over": ["retired", "end-machine"],
    "lease-lost": ["lost", "quit"],
  },
  failed: {
    terminate: ["leaving", "leave"],
    "idle-over": ["retired", "end-machine"],
    "lease-lost": ["lost", "quit"],
  },
  expired: { terminate: ["leaving", "leave"], "lease-lost": ["lost", "quit"] },
  retired: { terminate: ["leaving", "leave"], "lease-lost": ["lost", "quit"] },
  stopped: {},
  lost: {},
};

export function step(state: State, event: Event): { state: State; actions: Action[] } {
  const found = TRANSITIONS[state][event];
  if (!found) return { state, actions: [] };
  const [next, ...actions] = found;
  return { state: next, actions };
}

/** The words of heartbeat.json: fewer than the states, as its readers only ask whether work goes on. */
export type ShownState = "idle" | "claiming" | "running" | "done" | "failed" | "stopping" | "stopped" | "lost";

export const SHOWN: Record<State, ShownState> = {
  starting: "running",
  reaping: "running",
  claiming: "claiming",
  idle: "idle",
  running: "running",
  waiting: "running",
  finishing: "running",
  done: "done",
  "giving-up": "running",
  failed: "failed",
  stopping: "stopping",
  leaving: "stopping",
  stopped: "stopped",
  expiring: "stopping",
  closing: "stopping",
  expired: "stopped",
  retiring: "stopping",
  retired: "stopped",
  lost: "lost",
};
