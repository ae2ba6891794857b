import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Action, type Event, SHOWN, type State, step, TRANSITIONS } from "../../../../runtime/agent/supervise.ts";

const states = Object.keys(TRANSITIONS) as State[];
const events: Event[] = [
  "leftovers",
  "leftovers-gone",
  "shared",
  "no-command",
  "was-done",
  "was-failed",
  "ready",
  "exit-ok",
  "crash",
  "last-crash",
  "wait-over",
  "terminate",
  "grace-over",
  "time-over",
  "idle-over",
  "finished",
  "left",
  "lease-lost",
];

/** The states and actions that a story of events leads through, from the start. */
function tell(...story: Event[]): { state: State; actions: Action[] } {
  let state: State = "starting";
  const actions: Action[] = [];
  for (const event of story) {
    const next = step(state, event);
    state = next.state;
    actions.push(...next.actions);
  }
  return { state, actions };
}

describe("stories", () => {
  test.each<[string, Event[], State, Action[]]>([
    [
      "a run that ends well is brought to safety, remembered, and its machine ends",
      ["ready", "exit-ok", "finished"],
      "done",
      ["spawn", "finish", "remember", "end-machine"],
    ],
    ["what is not safe yet keeps the machine", ["ready", "exit-ok"], "finishing", ["spawn", "finish"]],
    ["a crash waits, then tries again", ["ready", "crash", "wait-over"], "running", ["spawn", "wait", "spawn"]],
    [
      "the last crash is brought to safety and remembered",
      ["ready", "last-crash", "finished"],
      "failed",
      ["spawn", "finish", "remember", "end-machine"],
    ],
    [
      "exit 0 after SIGTERM is not done",
      ["ready", "terminate", "exit-ok", "left"],
      "stopped",
      ["spawn", "terminate", "leave", "quit"],
    ],
    [
      "a command that ignores SIGTERM is killed",
      ["ready", "terminate", "grace-over", "crash", "left"],
      "stopped",
      ["spawn", "terminate", "kill", "leave", "quit"],
    ],
    [
      "over time the command is stopped, what it left is saved, and the machine ends",
      ["ready", "time-over", "crash", "finished"],
      "expired",
      ["spawn", "terminate", "finish", "end-machine"],
    ],
    [
      "told to stop while it waits, it leaves at once",
      ["ready", "crash", "terminate", "left"],
      "stopped",
      ["spawn", "wait", "leave", "quit"],
    ],
    [
      "told to stop while it saves, it gives up saving",
      ["ready", "exit-ok", "terminate"],
      "leaving",
      ["spawn", "finish", "leave"],
    ],
    ["a dev box is idle", ["no-command"], "idle", []],
    [
      "a dev box that nobody uses retires",
      ["no-command", "idle-over", "finished"],
      "retired",
      ["finish", "end-machine"],
    ],
    ["a shared run is claimed first", ["shared", "ready"], "running", ["claim", "spawn"]],
    ["a closed run is not started, and its machine ends", ["shared", "was-done"], "done", ["claim", "end-machine"]],
    [
      "who loses the run kills the command and goes, saving nothing",
      ["shared", "ready", "lease-lost", "crash", "left"],
      "lost",
      ["claim", "spawn", "kill", "quit"],
    ],
    [
      "leftovers are ended before the decision",
      ["leftovers", "leftovers-gone", "ready"],
      "running",
      ["end-leftovers", "decide", "spawn"],
    ],
    [
      "told to stop while it ends leftovers",
      ["leftovers", "terminate", "leftovers-gone", "left"],
      "stopped",
      ["end-leftovers", "leave", "quit"],
    ],
    ["a late grace is nothing", ["ready", "exit-ok", "grace-over"], "finishing", ["spawn", "finish"]],
  ])("%s", (_, story, state, actions) => {
    expect(tell(...story)).toEqual({ state, actions });
  });
});

test("never runs two commands, and never forgets one, whatever happens in whatever order", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events), { maxLength: 40 }), (story) => {
      let state: State = "starting";
      let running = 0;
      for (const event of story) {
        // The world's side: a command ends only if one runs, leftovers are gone only if there were some.
        const isEnd = event === "exit-ok" || event === "crash" || event === "last-crash";
        if (isEnd && running === 0) continue;
        if (isEnd) running -= 1;
        if (event === "leftovers-gone" && state !== "reaping" && state !== "stopping") continue;
        if (event === "leftovers-gone" && running > 0) continue;
        const next = step(state, event);
        state = next.state;
        if (next.actions.includes("spawn")) running += 1;
        expect(running).toBeLessThanOrEqual(1);
        // Who loses the run kills first.
        if (next.actions.includes("kill") && state === "lost") running = 0;
        if (running === 1) expect(["running", "stopping", "expiring"]).toContain(state);
        if (next.actions.includes("quit")) expect(running).toBe(0);
      }
    }),
  );
});

test.each(states.filter((state) => state !== "lost"))("comes to an end from %s when told to stop", (from) => {
  let { state } = step(from, "terminate");
  for (const event of ["leftovers-gone", "grace-over", "crash", "left"] as const) ({ state } = step(state, event));
  expect(state).toBe("stopped");
});

test.each(states)("never saves or starts anything once the run is lost in %s", (from) => {
  let { state } = step(from, "lease-lost");
  if (state !== "lost") return; // a state in which the run is not ours, or not any more
  for (const event of events) {
    const next = step(state, event);
    expect(next).toEqual({ state: "lost", actions: [] });
    state = next.state;
  }
});

test("shows a word for each state", () => {
  expect(Object.keys(SHOWN).sort()).toEqual([...states].sort());
});
