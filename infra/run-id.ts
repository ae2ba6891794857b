/** The identity of a training effort, across machines and preemptions: `<stack>/<experiment>`. */
import { basename, extname } from "node:path";
import type { StackConfig } from "./config.ts";

const SCRIPTS = new Set([".ts", ".mts", ".js", ".mjs", ".py", ".sh"]);

/** Of several machines each has a run of its own, as only one may work on a run; the first one has the stack's. */
export function runIdOfMachine(runId: string, name: string): string {
  return name === MAIN ? runId : `${runId}.${name}`;
}

const MAIN = "main";

/** The experiment is named by the script that the command runs; a dev box is `box`. */
export function runIdOf(stack: string, config: Pick<StackConfig, "experiment">): string {
  const { command } = config.experiment;
  if (command === null) return `${stack}/box`;
  const script = command.find((word) => SCRIPTS.has(extname(word))) ?? command[0] ?? "run";
  return `${stack}/${basename(script, extname(script)).replace(/[^\w.-]/g, "-")}`;
}
