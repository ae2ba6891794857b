#!/usr/bin/env node
/**
 * Makes a fresh clone ready, and does nothing when it is. Runs on Node 20 with nothing installed:
 *   node scripts/setup.mjs [--engine-optional]
 * Stage 1 (here): npm packages and Node 24. Stage 2 (setup/machine.ts, on that Node): system programs, Pulumi engine,
 * SSH key, local stack. Safe to run twice at once, and again after a kill at any moment.
 * Understands VASTLANE_OFFLINE=1 (no downloads), VASTLANE_NO_APT=1, VASTLANE_ENGINE_MIRROR=folder, PULUMI_HOME.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { enterAlone } from "./setup/once.mjs";
import { arePackagesThere, ensureNode, installPackages, linkLauncher, settlePackages } from "./setup/packages.mjs";
import { Problem } from "./setup/problem.mjs";
import { isStampGood } from "./setup/stamp.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const start = Date.now();
const flags = process.argv.slice(2);

/** @param {string} line */
const log = (line) => console.log(`set-up: ${line}`);

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function main() {
  checkPlatform();
  if (flags.includes("--link")) {
    linkLauncher(root); // the `prepare` script, after a plain `npm ci`
    return 0;
  }
  if (isDone()) return sayDone();
  const leave = await enterAlone(join(root, ".vastlane", "setup.lock"), {
    waiting: (pid) => log(`waiting for another set-up of this clone (process ${pid})`),
  });
  try {
    return isDone() ? sayDone() : await setUp();
  } finally {
    leave();
  }
}

async function setUp() {
  if (!arePackagesThere(root)) {
    log("npm packages (npm ci, about 20 s)");
    await installPackages(root, process.env);
  }
  const node = await ensureNode(root, process.env, log);
  linkLauncher(root);
  settlePackages(root);
  const args = [join(root, "scripts", "setup", "machine.ts"), `--started=${start}`, ...flags];
  const child = spawn(node, args, { cwd: root, stdio: "inherit" });
  // Ctrl-C reaches both; this one waits for the other's last word.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve) =>
    child.on("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1))),
  );
}

function isDone() {
  return isStampGood(root, process.env) && arePackagesThere(root);
}

function sayDone() {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  log(`all there (Node ${dependencies.node}, Pulumi ${dependencies.pulumi})`);
  return 0;
}

function checkPlatform() {
  if (process.platform === "win32") {
    throw new Problem("VL_SETUP_FAILED", {
      what: "vastlane does not run on Windows itself.",
      why: "its emulator, deploy and SSH need a POSIX system.",
      hint: "clone it inside WSL2 and run the same command there",
    });
  }
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Problem("VL_SETUP_FAILED", {
      what: `Node ${process.versions.node} is too old.`,
      why: "npm and Node 20 or newer are needed to install the rest, Node 24 among it.",
      hint: "install Node 20 or newer",
    });
  }
}
