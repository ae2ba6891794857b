/** One question before money is spent or something is deleted. */
import { createInterface } from "node:readline/promises";
import { UserError } from "../common/errors.ts";
import type { Io } from "./command.ts";

/** True when `isGiven` or the person types y. @throws UserError VL_USAGE where nobody can be asked */
export async function confirm(question: string, isGiven: boolean, io: Io): Promise<boolean> {
  if (isGiven) return true;
  if (!io.isTTY || process.stdin.isTTY !== true) {
    throw new UserError("VL_USAGE", {
      what: "this spends money or deletes something, and there is no terminal to ask on",
      hint: "add --yes",
    });
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: io.signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
