/** One moving line on a terminal: how much has come, and how fast. Elsewhere, nothing moves. */
import type { Io } from "../command.ts";
import { bytes as size } from "../table.ts";

export interface Progress {
  /** So many bytes more. */
  add(bytes: number): void;
  /** A line that stays. */
  say(line: string): void;
  end(): void;
}

const EVERY_MS = 200;

export function showProgress(io: Io): Progress {
  const started = io.clock.now();
  let [total, shownAt, isShown] = [0, 0, false];
  const clear = () => {
    if (isShown) io.stderr("\r\x1b[K");
    isShown = false;
  };
  return {
    add(bytes) {
      total += bytes;
      const now = io.clock.now();
      if (!io.isTTY || now - shownAt < EVERY_MS) return;
      shownAt = now;
      clear();
      isShown = true;
      io.stderr(`  ${size(total)}, ${size((total * 1000) / Math.max(1, now - started))}/s`);
    },
    say(line) {
      clear();
      io.stderr(`  ${line}\n`);
    },
    end: clear,
  };
}
