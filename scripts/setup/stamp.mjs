/**
 * What the last complete set-up found or made, so that the next one can see in milliseconds that all is there.
 * A stamp is never trusted alone: every file it names is looked at.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Raised when set-up does something new, so that old stamps do not hide it. */
const SETUP_VERSION = 1;

/** Variables that decide where things go. */
const VARIABLES = ["HOME", "PULUMI_HOME", "VASTLANE_ENGINE", "VASTLANE_STATE_DIR"];

/** @param {string} root */
const stampFile = (root) => join(root, ".vastlane", "setup.json");

/**
 * Whether the last set-up holds for this clone and environment, and all its files are still there.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
export function isStampGood(root, env) {
  try {
    const { key, programs, places } = JSON.parse(readFileSync(stampFile(root), "utf8"));
    if (key !== stampKey(root, env) || !places.every(existsSync)) return false;
    return Object.entries(programs).every(([path, size]) => statSync(path).size === size);
  } catch {
    return false; // none yet, or something is gone: set-up then does its work
  }
}

/**
 * Records a complete set-up.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @param {{ programs: string[], places: string[] }} there programs: must keep their size; places: must exist
 */
export function writeStamp(root, env, { programs, places }) {
  const sizes = Object.fromEntries(programs.map((path) => [path, statSync(path).size]));
  const text = JSON.stringify({ key: stampKey(root, env), programs: sizes, places }, null, 2);
  const path = stampFile(root);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}.tmp`, `${text}\n`);
  renameSync(`${path}.${process.pid}.tmp`, path);
}

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
function stampKey(root, env) {
  const hash = createHash("sha256");
  hash.update(readFileSync(join(root, "package-lock.json")));
  const where = VARIABLES.map((name) => env[name] ?? null);
  hash.update(JSON.stringify([SETUP_VERSION, root, process.platform, process.arch, ...where]));
  return hash.digest("hex");
}
