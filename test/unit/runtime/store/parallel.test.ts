import { expect, test } from "vitest";
import { inParallel } from "../../../../runtime/store/parallel.ts";

test("every item is worked on once, by so many at a time", async () => {
  const done: number[] = [];
  let [now, most] = [0, 0];
  await inParallel(3, [1, 2, 3, 4, 5, 6, 7], undefined, () => async (item) => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    done.push(item);
    now -= 1;
  });
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(most).toBe(3);
});

test("no more workers are made than there is work for", async () => {
  let workers = 0;
  await inParallel(4, ["only"], undefined, () => {
    workers += 1;
    return async () => {};
  });
  expect(workers).toBe(1);
});

test("the first failure stops the others and is the one that is thrown", async () => {
  const seen: number[] = [];
  const stopped: unknown[] = [];
  const work = inParallel(2, [1, 2, 3, 4], undefined, (signal) => async (item) => {
    seen.push(item);
    if (item === 1) throw new Error("first");
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("second"))));
    stopped.push(item);
  });
  await expect(work).rejects.toThrow("first");
  expect(seen).toEqual([1, 2]);
});

test("an abort stops all with its reason", async () => {
  const controller = new AbortController();
  const work = inParallel(2, [1, 2, 3], controller.signal, (signal) => async () => {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped"))));
  });
  controller.abort(new Error("not wanted"));
  await expect(work).rejects.toThrow("not wanted");
  await expect(inParallel(1, [1], controller.signal, () => async () => {})).rejects.toThrow("not wanted");
});
