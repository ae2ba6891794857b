/**
 * `vastlane doctor`: is everything there that renting, reaching and destroying a machine takes? The checks are a
 * table in cli/doctor/checks.ts; this file runs them side by side and prints what they found.
 */
import { messageOf, UserError } from "../../common/errors.ts";
import { type Command, EXIT } from "../command.ts";
import { CHECKS } from "../doctor/checks.ts";
import type { Check, CheckContext, Finding } from "../doctor/types.ts";
import { projectRoot } from "../project.ts";

export interface Result extends Omit<Finding, "fix"> {
  name: string;
  /** What to do about it; null when it is ok. */
  fix: string | null;
}

export const command: Command = {
  name: "doctor",
  summary: "checks Node, Pulumi engine, SSH, keys, disk and emulator, with a fix for each fault",
  usage: `vastlane doctor [--json]

Changes nothing. Exits 1 when something that is needed is missing; a warning is no failure.
`,
  async run(args, io) {
    const isJson = args.includes("--json");
    if (args.some((arg) => arg !== "--json")) {
      throw new UserError("VL_USAGE", {
        what: `vastlane doctor does not understand: ${args.join(" ")}`,
        hint: "vastlane doctor --help",
      });
    }
    const context = { env: io.env, root: projectRoot, clock: io.clock, signal: io.signal };
    const results = await Promise.all(CHECKS.map((check) => runCheck(check, context)));
    const ok = results.every((result) => result.state !== "fail");
    io.stdout(isJson ? `${JSON.stringify({ ok, checks: results }, null, 2)}\n` : render(results));
    return ok ? EXIT.done : EXIT.failure;
  },
};

/** A check that throws has failed; its own hint is better than the table's. */
export async function runCheck(check: Check, context: CheckContext): Promise<Result> {
  try {
    const finding = await check.run(context);
    return { name: check.name, ...finding, fix: finding.state === "ok" ? null : (finding.fix ?? check.fix) };
  } catch (error) {
    const [detail, fix] =
      error instanceof UserError ? [error.what, error.hint ?? check.fix] : [messageOf(error), check.fix];
    return { name: check.name, state: "fail", detail, fix };
  }
}

const MARKS = { ok: "ok  ", warn: "warn", fail: "FAIL" } as const;

/** One line per check, a second one with the fix where there is something to do, and a last line with the sum. */
export function render(results: readonly Result[]): string {
  const width = Math.max(...results.map((result) => result.name.length));
  const lines = results.flatMap((result) => [
    `${MARKS[result.state]}  ${result.name.padEnd(width)}  ${result.detail}`,
    ...(result.fix ?? "")
      .split("\n")
      .filter(Boolean)
      .map((line) => `${" ".repeat(width + 8)}-> ${line}`),
  ]);
  const failed = results.filter((result) => result.state === "fail").length;
  const sum = failed === 0 ? "All that is needed is there." : `${failed} of ${results.length} checks failed.`;
  return `${[...lines, "", sum].join("\n")}\n`;
}
