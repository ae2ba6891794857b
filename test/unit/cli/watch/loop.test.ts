import { expect, test } from "vitest";
import { type StackLook, type WatchEvent, type Watched, watchStacks } from "../../../../cli/watch/loop.ts";
import { UserError } from "../../../../common/errors.ts";
import type { Situation } from "../../../../infra/vast/situation.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";

const EVERY_MS = 10_000;

interface Scene {
  situation: Situation | undefined;
  /** Seconds since the lease was renewed; `unread` and `no-store` as the watcher knows them. */
  age: number | "unread" | "no-store";
  closed?: string;
  isReleased?: boolean;
}

/** A stack whose condition follows from the time; `up` brings it back unless it is told to fail. */
function stage(at: (seconds: number) => Scene | undefined, options: { failures?: number; once?: boolean } = {}) {
  const clock = fakeClock();
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  const ups: number[] = [];
  const marketLooks: number[] = [];
  let failures = options.failures ?? 0;
  let seen: Situation | undefined;
  const watched: Watched = {
    stack: "dev",
    async look({ fresh }): Promise<StackLook | undefined> {
      const seconds = clock.passed() / 1000;
      const scene = at(seconds);
      if (fresh) {
        marketLooks.push(seconds);
        seen = scene?.situation;
      }
      if (!scene) return undefined;
      const isBack = ups.length > 0 && failures === 0 && scene.closed === undefined;
      const lease =
        scene.age === "unread" || scene.age === "no-store"
          ? scene.age
          : {
              ageSeconds: isBack ? 1 : scene.age,
              isReleased: scene.isReleased ?? false,
              contractId: null,
              step: 40,
              state: "running",
            };
      const situation = isBack ? "running" : seen;
      return {
        hasCommand: true,
        closed: scene.closed,
        machines: [{ name: "main", situation, contractId: 7, lease }],
      };
    },
    async up() {
      if (failures > 0) {
        failures -= 1;
        throw new UserError("VL_NO_OFFER", { what: "nothing fits" });
      }
      ups.push(clock.passed() / 1000);
    },
  };
  clock.after(120_000, () => stop.abort());
  const done = watchStacks([watched], {
    clock,
    signal: stop.signal,
    everyMs: EVERY_MS,
    soonMs: 1000,
    once: options.once ?? false,
    tell: (event) => events.push(event),
  });
  return { done, events, ups, marketLooks };
}

test("a machine that is killed between two looks is given up within 12 s at the documented rate", async () => {
  // Killed at 25 s; its last renewal came up to 5 s before.
  const killedAt = 25;
  for (const renewedBefore of [0.1, 2.5, 4.9]) {
    const { done, ups } = stage((s) =>
      s < killedAt ? { situation: "running", age: 2 } : { situation: "outbid", age: s - killedAt + renewedBefore },
    );
    await done;
    expect(ups).toHaveLength(1);
    expect((ups[0] ?? 0) - killedAt).toBeLessThanOrEqual(12);
  }
});

test("the market is asked once in the documented interval, also while something looks lost", async () => {
  const { done, marketLooks } = stage(() => ({ situation: "offline", age: 3 }));
  await done;
  const gaps = marketLooks.slice(1).map((at, i) => at - (marketLooks[i] ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(EVERY_MS / 1000);
});

test("a store that is down ends no machine that the market shows running", async () => {
  const { done, ups } = stage(() => ({ situation: "running", age: "unread" }));
  await done;
  expect(ups).toEqual([]);
});

test("a market that says once that a machine is gone is asked again where the store cannot be read", async () => {
  const { done, ups } = stage((s) => ({ situation: s >= 20 && s < 30 ? "gone" : "running", age: "unread" }));
  await done;
  expect(ups).toEqual([]);
});

test("what cannot be repaired is tried again, ever more seldom", async () => {
  const { done, events, ups } = stage((s) => ({ situation: "gone", age: s + 20 }), { failures: 3 });
  await done;
  const times = events.filter(({ event }) => event === "failed").map(({ time }) => Date.parse(time) / 1000);
  const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  expect(gaps).toEqual([10, 20]);
  expect(ups).toHaveLength(1);
  expect(events.find(({ event }) => event === "failed")?.text).toContain(
    "VL_NO_OFFER: nothing fits\n  next try in 10 s",
  );
});

test("the same condition is told once", async () => {
  const { done, events } = stage(() => ({ situation: "running", age: 2 }));
  await done;
  expect(events.map(({ event, text, step }) => [event, text, step])).toEqual([["seen", "it trains", 40]]);
});

test("a run that ends has its machine ended, and the watch is over", async () => {
  const { done, events, ups } = stage((s) =>
    s < 15
      ? { situation: "running", age: 2 }
      : { situation: s < 25 ? "running" : "gone", age: 99, closed: "done at step 900" },
  );
  expect(await done).toBe(true);
  expect(ups).toEqual([20]);
  expect(events.at(-1)).toMatchObject({ event: "over", text: expect.stringContaining("done at step 900") });
});

test("a destroyed stack is not brought back", async () => {
  const { done, ups, events } = stage((s) => (s < 15 ? { situation: "running", age: 2 } : undefined));
  expect(await done).toBe(true);
  expect(ups).toEqual([]);
  expect(events.at(-1)?.text).toContain("destroyed");
});

test("once: a healthy stack takes one look, a doubt is settled before the end", async () => {
  const healthy = stage(() => ({ situation: "running", age: 2 }), { once: true });
  expect(await healthy.done).toBe(true);
  expect(healthy.marketLooks).toHaveLength(1);
  const lost = stage((s) => ({ situation: "gone", age: s + 20 }), { once: true });
  expect(await lost.done).toBe(true);
  expect(lost.ups).toHaveLength(1);
  const odd = stage(() => ({ situation: "stopped", age: 2 }), { once: true });
  expect(await odd.done).toBe(false);
  expect(odd.marketLooks).toHaveLength(3);
});
