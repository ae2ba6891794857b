import { expect, test } from "vitest";
import { showProgress } from "../../../../cli/checkpoints/progress.ts";
import { testIo } from "../../../helpers/io.ts";

test("on a terminal one line moves, a few times a second, and is gone in the end", () => {
  let now = 1000;
  const io = testIo({ isTTY: true, clock: { now: () => now, sleep: async () => {} } });
  const progress = showProgress(io);
  now = 2000;
  progress.add(1 << 20);
  progress.add(1 << 20);
  now = 3000;
  progress.add(1 << 20);
  progress.say("something");
  progress.end();
  expect(io.err).toBe("  1.0 MiB, 1.0 MiB/s\r\x1b[K  3.0 MiB, 1.5 MiB/s\r\x1b[K  something\n");
});

test("elsewhere nothing moves", () => {
  const io = testIo({ clock: { now: () => 5000, sleep: async () => {} } });
  const progress = showProgress(io);
  progress.add(1 << 20);
  progress.say("something");
  progress.end();
  expect(io.err).toBe("  something\n");
});
