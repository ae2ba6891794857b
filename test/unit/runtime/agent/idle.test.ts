import { expect, test } from "vitest";
import type { ActivitySample, Sign } from "../../../../runtime/agent/activity.ts";
import { decideIdle, decideStalled } from "../../../../runtime/agent/idle.ts";
import { type Occupation, watchIdle } from "../../../../runtime/agent/idle-watch.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";

const MINUTE = 60_000;
const quiet = (minutes: number, hasWarned = false, limit = 30) =>
  decideIdle({ lastActiveAt: 0, hasWarned }, false, minutes * MINUTE, limit);

test.each([
  ["is nothing for most of the time", quiet(24.9), "none"],
  ["is warned of five minutes before the end", quiet(25), "warn"],
  ["is warned of once", quiet(27, true), "none"],
  ["ends when nobody came", quiet(30, true), "end"],
  ["does not end without a warning, however long it was away", quiet(600), "warn"],
  ["is warned of half-way where the limit is short", quiet(1, false, 2), "warn"],
] as const)("a quiet machine %s", (_, verdict, act) => {
  expect(verdict.act).toBe(act);
});

test("activity calls the end off, and the time begins anew", () => {
  const verdict = decideIdle({ lastActiveAt: 0, hasWarned: true }, true, 29 * MINUTE, 30);
  expect(verdict).toMatchObject({ act: "none", hasWarned: false, idleSeconds: 0, lastActiveAt: 29 * MINUTE });
});

test("a clock that was set back ends nothing", () => {
  expect(decideIdle({ lastActiveAt: 50 * MINUTE, hasWarned: true }, false, 10 * MINUTE, 30).act).toBe("none");
});

test("a command that shows nothing of itself is told of once, and never ended", () => {
  const stalled = (minutes: number, hasWarned = false) =>
    decideStalled({ lastActiveAt: 0, hasWarned }, false, minutes * MINUTE, 30).act;
  expect([stalled(29), stalled(30), stalled(30, true), stalled(6000, true)]).toEqual(["none", "warn", "none", "none"]);
  expect(decideStalled({ lastActiveAt: 0, hasWarned: true }, true, 40 * MINUTE, 30)).toMatchObject({
    act: "none",
    hasWarned: false,
  });
});

/** A watch whose machine shows the given signs at each sample, and whose beats come every 15 s. */
async function watch(samples: Sign[][], occupation: (beat: number) => Occupation = () => "free", beats = 40) {
  const clock = fakeClock();
  const events: string[] = [];
  let taken = 0;
  const idle = watchIdle({
    activity: {
      async sample(): Promise<ActivitySample> {
        const seen = samples[Math.min(taken, samples.length - 1)] ?? [];
        taken += 1;
        return { seen, gpuUtil: 7 };
      },
    },
    clock,
    idleMinutes: 2,
    sampleMs: 15_000,
    warn: async (left) => void events.push(`warned ${left}`),
    tellStalled: async (minutes) => void events.push(`stalled ${minutes}`),
    onIdle: () => events.push(`over at ${clock.passed() / 1000}`),
  });
  for (let beat = 0; beat < beats; beat += 1) {
    idle.look(occupation(beat));
    await clock.sleep(15_000);
  }
  return { events, idle };
}

test("a machine on which nothing moves is warned, and over after its minutes", async () => {
  const { events, idle } = await watch([[]], () => "free", 9);
  expect(events).toEqual(["warned 60", "over at 120"]);
  expect(idle.gpuUtil()).toBe(7);
  expect(idle.warning()).toBe("idle for 120 s; this machine stops itself after 2 minutes without activity");
});

test("it is over again at each look, should the agent have been busy with something else at the first", async () => {
  const { events } = await watch([[]], () => "free", 11);
  expect(events).toEqual(["warned 60", "over at 120", "over at 135", "over at 150"]);
});

test("activity after the warning calls it off, and it is warned of again before the next end", async () => {
  const { events, idle } = await watch([[], [], [], [], [], [], ["terminal"], []], () => "free", 12);
  expect(events).toEqual(["warned 60", "warned 60"]);
  expect(idle.idleSeconds()).toBe(75);
});

test("a machine on which something moves now and then is not", async () => {
  const samples = Array.from({ length: 60 }, (_, i): Sign[] => (i % 4 === 3 ? ["files"] : []));
  expect((await watch(samples)).events.filter((event) => event.startsWith("over"))).toEqual([]);
});

test("what cannot be read counts as activity", async () => {
  expect((await watch([["unknown"]])).events).toEqual([]);
});

test("time at work does not count", async () => {
  const { events } = await watch([[]], (beat) => (beat % 6 !== 5 ? "free" : "busy"));
  expect(events.filter((event) => event.startsWith("over"))).toEqual([]);
});

test("a command that hangs is told of, and nothing is said of one that works", async () => {
  const hangs = await watch([[]], () => "working", 20);
  expect(hangs.events).toEqual(["stalled 2"]);
  expect(hangs.idle.idleSeconds()).toBeNull();
  expect(hangs.idle.warning()).toBe("the command has shown no sign of life for 4 minutes");
  const works = await watch([["GPU"]], () => "working", 20);
  expect(works.events).toEqual([]);
  expect(works.idle.warning()).toBeNull();
});
