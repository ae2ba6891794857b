/** Starts a program of the project and collects what it prints. Plain JavaScript, for the scripts that Node 20 starts. */
import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The project's own Node, there after set-up. */
export const projectNode = join(root, "node_modules", ".bin", "node");

/**
 * Runs `node FILE ARGS` on the project's Node, with its programs first on PATH.
 * @param {string} file path below the project's folder
 * @param {string[]} args
 * @param {{ env?: Record<string, string>, show?: boolean }} [options] show: output goes straight to the terminal
 * @returns {Promise<{ code: number, output: string }>}
 */
export function runNode(file, args, { env = {}, show = false } = {}) {
  const child = spawn(projectNode, [join(root, file), ...args], {
    cwd: root,
    env: { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH}`, ...env },
    stdio: ["ignore", show ? "inherit" : "pipe", show ? "inherit" : "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += chunk));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: 1, output: `${output}${error.message}\n` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
