import { describe, expect, test } from "vitest";
import { decide, type Pulse, type Seen } from "../../../../cli/watch/decide.ts";
import type { Situation } from "../../../../infra/vast/situation.ts";

const seen = (more: Partial<Seen>): Seen => ({
  situation: "running",
  looks: 1,
  pulse: "alive",
  isClosed: false,
  hasCommand: true,
  ...more,
});

const LOST: Situation[] = ["gone", "stopped", "outbid", "failed", "offline"];
const PULSES: Pulse[] = ["alive", "silent", "left", "none", "unknown", "no-store"];

describe("a machine that the market shows running", () => {
  test.each(PULSES)("is left alone, whatever its agent says: %s", (pulse) => {
    expect(decide(seen({ pulse })).act).toBe("none");
    expect(decide(seen({ pulse, situation: "pending" })).act).toBe("none");
  });

  test("with a silent agent is told of", () => {
    expect(decide(seen({ pulse: "silent" })).why).toContain("agent is silent");
  });
});

describe("a machine that the market shows lost", () => {
  test.each(LOST)("is replaced when its agent is silent as well: %s", (situation) => {
    expect(decide(seen({ situation, pulse: "silent" })).act).toBe("up");
  });

  test.each(LOST)("is not replaced while its agent reports: %s", (situation) => {
    expect(decide(seen({ situation, looks: 9 })).act).toBe("look");
  });

  test.each(["none", "unknown", "no-store"] as const)(
    "needs a second look where no agent can be asked: %s",
    (pulse) => {
      for (const situation of LOST) {
        expect(decide(seen({ situation, pulse })).act).toBe("look");
        expect(decide(seen({ situation, pulse, looks: 2 })).act).toBe("up");
      }
    },
  );

  test("is left alone when it stopped itself, since that was meant", () => {
    expect(decide(seen({ situation: "stopped", pulse: "left", looks: 9 })).act).toBe("none");
    expect(decide(seen({ situation: "outbid", pulse: "left" })).act).toBe("up");
    expect(decide(seen({ situation: "gone", pulse: "left" })).act).toBe("up");
  });
});

test("an unreadable market is no sign of anything", () => {
  for (const pulse of PULSES) expect(decide(seen({ situation: undefined, pulse, looks: 9 })).act).toBe("look");
  expect(decide(seen({ situation: undefined, isClosed: true })).act).toBe("look");
});

test("a closed run is never rented again: its machine ends, and then there is nothing to watch", () => {
  for (const pulse of PULSES) {
    for (const situation of [...LOST, "running", "pending"] as Situation[]) {
      const { act } = decide(seen({ situation, pulse, isClosed: true, looks: 9 }));
      expect(act).toBe(situation === "gone" ? "over" : "up");
    }
  }
});
