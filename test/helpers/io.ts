/** The world of a command under test: what it prints is kept, and time stands still unless told otherwise. */
import type { Io } from "../../cli/command.ts";

export interface TestIo extends Io {
  /** Everything written to stdout. */
  out: string;
  err: string;
}

export function testIo(changes: Partial<Io> = {}): TestIo {
  const io: TestIo = {
    out: "",
    err: "",
    stdout(text) {
      io.out += text;
    },
    stderr(text) {
      io.err += text;
    },
    isTTY: false,
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    cwd: process.cwd(),
    signal: new AbortController().signal,
    clock: { now: () => 0, sleep: async () => {} },
    ...changes,
  };
  return io;
}
