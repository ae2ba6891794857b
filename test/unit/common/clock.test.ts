import { expect, test } from "vitest";
import { systemClock } from "../../../common/clock.ts";

test("a sleep ends after its time", async () => {
  const begun = systemClock.now();
  await systemClock.sleep(5);
  expect(systemClock.now() - begun).toBeGreaterThanOrEqual(4);
});

test("a cancel ends it at once, with its reason, also one that came before", async () => {
  const abort = new AbortController();
  const sleeping = systemClock.sleep(60_000, abort.signal);
  abort.abort(new Error("cancelled"));
  await expect(sleeping).rejects.toThrow("cancelled");
  await expect(systemClock.sleep(60_000, abort.signal)).rejects.toThrow("cancelled");
});

test("a sleep that has ended leaves nothing on its signal", async () => {
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = ((...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  }) as typeof signal.addEventListener;
  signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  }) as typeof signal.removeEventListener;
  await systemClock.sleep(1, signal);
  expect(listeners).toBe(0);
});
