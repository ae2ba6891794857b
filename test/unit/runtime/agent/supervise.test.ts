import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Action, type Event, SHOWN, type State, step, TRANSITIONS } from "../../../../runtime/agent/supervise.ts";

const states = Object.keys(TRANSITIONS) as State[];
const events: Event[] = [
  "leftovers",
  "leftovers-gone",
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
    ["a run that ends well is remembered", ["ready", "exit-ok"], "done", ["spawn", "remember"]],
    ["a crash waits, then tries again", ["ready", "crash", "wait-over"], "running", ["spawn", "wait", "spawn"]],
    ["the last crash is remembered", ["ready", "last-crash"], "failed", ["spawn", "remember"]],
    ["exit 0 after SIGTERM is not done", ["ready", "terminate", "exit-ok"], "stopped", ["spawn", "terminate", "quit"]],
    [
      "a command that ignores SIGTERM is killed",
      ["ready", "terminate", "grace-over", "crash"],
      "stopped",
      ["spawn", "terminate", "kill", "quit"],
    ],
    [
      "over time the command is stopped and the agent stays",
      ["ready", "time-over", "crash"],
      "expired",
      ["spawn", "terminate"],
    ],
    [
      "told to stop while it waits, it quits at once",
      ["ready", "crash", "terminate"],
      "stopped",
      ["spawn", "wait", "quit"],
    ],
    ["a dev box is idle", ["no-command"], "idle", []],
    [
      "leftovers are ended before the decision",
      ["leftovers", "leftovers-gone", "ready"],
      "running",
      ["end-leftovers", "decide", "spawn"],
    ],
    [
      "told to stop while it ends leftovers",
      ["leftovers", "terminate", "leftovers-gone"],
      "stopped",
      ["end-leftovers", "quit"],
    ],
    ["a late grace is nothing", ["ready", "exit-ok", "grace-over"], "done", ["spawn", "remember"]],
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
        if (running === 1) expect(["running", "stopping", "expiring"]).toContain(state);
        if (next.actions.includes("quit")) expect(running).toBe(0);
      }
    }),
  );
});

test.each(states)("comes to an end from %s when told to stop", (from) => {
  let { state } = step(from, "terminate");
  for (const event of ["leftovers-gone", "grace-over", "crash"] as const) ({ state } = step(state, event));
  expect(state).toBe("stopped");
});

test("shows a word for each state", () => {
  expect(Object.keys(SHOWN).sort()).toEqual([...states].sort());
});
