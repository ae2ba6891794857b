#!/usr/bin/env node
/**
 * Starts the CLI on a Node that runs TypeScript as it is: this one if it is new enough, else the project's own,
 * which set-up puts into node_modules. Plain JavaScript, since any Node from 20 on may read it.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const projectNode = join(root, "node_modules", ".bin", "node");
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const isNewEnough = (major > 22 || (major === 22 && minor >= 18)) && process.versions.bun === undefined;

if (!existsSync(join(root, "node_modules", ".package-lock.json"))) {
  sayNotSetUp(`${join(root, "node_modules")} is missing or unfinished.`);
} else if (isNewEnough) {
  // Saves a third of the start: stripped and compiled modules are kept between runs.
  module.enableCompileCache?.(join(root, "node_modules", ".cache", "compile"));
  const { start } = await import("../cli/main.ts");
  await start();
} else if (existsSync(projectNode)) {
  runOn(projectNode);
} else {
  sayNotSetUp(`Node ${process.versions.node} is too old (22.18 is needed), and ${projectNode} is missing.`);
}

/** @param {string} node */
function runOn(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
  // The terminal's Ctrl-C reaches both processes; the child decides what it means.
  process.on("SIGINT", () => {});
  for (const name of /** @type {const} */ (["SIGTERM", "SIGHUP"])) process.on(name, () => child.kill(name));
  child.on("close", (code, signal) => {
    process.exitCode = code ?? (signal === "SIGINT" ? 130 : 1);
  });
}

/** @param {string} why */
function sayNotSetUp(why) {
  console.error(`VL_SETUP_FAILED: The project is not set up.\n  why: ${why}\n  do:  npm run setup`);
  process.exitCode = 1;
}
