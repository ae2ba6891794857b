import { expect, test } from "vitest";
import { readOptions } from "../../../cli/options.ts";

const options = {
  stack: { type: "string" },
  lines: { type: "string", short: "n" },
  json: { type: "boolean" },
} as const;
const see = "\n  do:  see `vastlane logs --help`";

test.each([
  [["--stack"], "VL_USAGE: --stack wants a value"],
  [["-n"], "VL_USAGE: --lines wants a value"],
  [["--lines", "-3"], "VL_USAGE: --lines wants a value\n  why: one that begins with - is written --lines=-3"],
  [["--json=yes"], "VL_USAGE: --json takes no value"],
  [["--jsn"], "VL_USAGE: logs has no flag --jsn\n  why: did you mean --json?"],
  [["--zzzzzz"], "VL_USAGE: logs has no flag --zzzzzz\n  why: its flags: --stack, --lines, --json"],
  [["main"], "VL_USAGE: logs does not take the argument main"],
])("%j is refused with words that help", (args, message) => {
  expect(() => readOptions("logs", args, options)).toThrow(message + see);
});
