/** The identity of a training effort, across machines and preemptions: `<stack>/<experiment>`. */
import { basename, extname } from "node:path";
import type { StackConfig } from "./config.ts";

const SCRIPTS = new Set([".ts", ".mts", ".js", ".mjs", ".py", ".sh"]);

/** The experiment is named by the script that the command runs; a dev box is `box`. */
export function runIdOf(stack: string, config: Pick<StackConfig, "experiment">): string {
  const { command } = config.experiment;
  if (command === null) return `${stack}/box`;
  const script = command.find((word) => SCRIPTS.has(extname(word))) ?? command[0] ?? "run";
  return `${stack}/${basename(script, extname(script)).replace(/[^\w.-]/g, "-")}`;
}
