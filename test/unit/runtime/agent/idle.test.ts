import { expect, test } from "vitest";
import type { ActivitySample } from "../../../../runtime/agent/activity.ts";
import { decideIdle } from "../../../../runtime/agent/idle.ts";
import { watchIdle } from "../../../../runtime/agent/idle-watch.ts";
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

/** A watch whose machine shows the given signs at each sample, and whose beats come every 15 s. */
async function watch(samples: (string[] | "mixed")[], mayIdle: (beat: number) => boolean = () => true) {
  const clock = fakeClock();
  const events: string[] = [];
  let taken = 0;
  const idle = watchIdle({
    activity: {
      async sample(): Promise<ActivitySample> {
        const seen = samples[Math.min(taken, samples.length - 1)];
        taken += 1;
        return { seen: seen === "mixed" ? [] : (seen ?? []), gpuUtil: 7 };
      },
    },
    clock,
    idleMinutes: 2,
    sampleMs: 15_000,
    warn: async (left) => void events.push(`warned ${left}`),
    onIdle: () => events.push(`over at ${clock.passed() / 1000}`),
  });
  for (let beat = 0; beat < 40; beat += 1) {
    idle.look(mayIdle(beat));
    await clock.sleep(15_000);
  }
  return { events, idle };
}

test("a machine on which nothing moves is warned, and over after its minutes", async () => {
  const { events, idle } = await watch([[]]);
  expect(events).toEqual(["warned 60", "over at 120"]);
  expect(idle.gpuUtil()).toBe(7);
});

test("a machine on which something moves now and then is not", async () => {
  const samples = Array.from({ length: 60 }, (_, i) => (i % 4 === 3 ? ["files"] : []));
  expect((await watch(samples)).events.filter((event) => event.startsWith("over"))).toEqual([]);
});

test("what cannot be read counts as activity", async () => {
  expect((await watch([["unknown"]])).events).toEqual([]);
});

test("time at work does not count", async () => {
  const { events, idle } = await watch([[]], (beat) => beat % 6 !== 5);
  expect(events.filter((event) => event.startsWith("over"))).toEqual([]);
  expect(idle.idleSeconds()).not.toBe(null);
});
