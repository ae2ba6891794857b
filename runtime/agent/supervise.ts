/**
 * What the agent does when something happens, as one table: state x event -> next state, actions.
 * Pure: agent.ts turns the world into events and carries the actions out. A pair that is not in the table is
 * ignored, as events may come late (a grace that runs out just after the command has ended).
 */

export type State =
  | "starting"
  /** Ending what an agent that was killed has left running. */
  | "reaping"
  /** No command to run: a dev box. */
  | "idle"
  | "running"
  /** Crashed; waits before the next attempt. */
  | "waiting"
  | "done"
  | "failed"
  /** Told to stop; the command has its grace. */
  | "stopping"
  | "stopped"
  /** maxHours is over; the command has its grace, the agent stays. */
  | "expiring"
  | "expired";

export type Event =
  | "leftovers"
  | "leftovers-gone"
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
  | "time-over";

export type Action = "end-leftovers" | "decide" | "spawn" | "wait" | "remember" | "terminate" | "kill" | "quit";

type Step = readonly [State, ...Action[]];

export const TRANSITIONS: Record<State, Partial<Record<Event, Step>>> = {
  starting: {
    leftovers: ["reaping", "end-leftovers"],
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
  running: {
    "exit-ok": ["done", "remember"],
    crash: ["waiting", "wait"],
    "last-crash": ["failed", "remember"],
    terminate: ["stopping", "terminate"],
    "time-over": ["expiring", "terminate"],
  },
  waiting: {
    "wait-over": ["running", "spawn"],
    terminate: ["stopped", "quit"],
    "time-over": ["expired"],
  },
  // A command that exits 0 because it was told to stop is not done: it left a checkpoint and wants to go on.
  stopping: {
    "exit-ok": ["stopped", "quit"],
    crash: ["stopped", "quit"],
    "last-crash": ["stopped", "quit"],
    "leftovers-gone": ["stopped", "quit"],
    "grace-over": ["stopping", "kill"],
  },
  expiring: {
    "exit-ok": ["expired"],
    crash: ["expired"],
    "last-crash": ["expired"],
    "grace-over": ["expiring", "kill"],
    terminate: ["stopping"],
  },
  idle: { terminate: ["stopped", "quit"] },
  done: { terminate: ["stopped", "quit"] },
  failed: { terminate: ["stopped", "quit"] },
  expired: { terminate: ["stopped", "quit"] },
  stopped: {},
};

export function step(state: State, event: Event): { state: State; actions: Action[] } {
  const found = TRANSITIONS[state][event];
  if (!found) return { state, actions: [] };
  const [next, ...actions] = found;
  return { state: next, actions };
}

/** The words of heartbeat.json: fewer than the states, as its readers only ask whether work goes on. */
export type ShownState = "idle" | "running" | "done" | "failed" | "stopping" | "stopped";

export const SHOWN: Record<State, ShownState> = {
  starting: "running",
  reaping: "running",
  idle: "idle",
  running: "running",
  waiting: "running",
  done: "done",
  failed: "failed",
  stopping: "stopping",
  stopped: "stopped",
  expiring: "stopping",
  expired: "stopped",
};
