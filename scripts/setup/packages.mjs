/**
 * The first stage of set-up: npm packages, the Node that the project runs on, and the launcher's link.
 * Plain JavaScript for Node 20 without packages, since nothing else exists yet.
 */
import { execFile } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { delimiter, join, sep } from "node:path";
import { Problem } from "./problem.mjs";

/** The oldest Node that runs our TypeScript as it is. */
const OLDEST_NODE = { major: 22, minor: 18 };

/**
 * Whether node_modules is what package-lock.json says, as far as a look at names and versions tells.
 * @param {string} root
 */
export function arePackagesThere(root) {
  try {
    const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
    // npm writes this file last, so a killed installation has none or an old one.
    const found = JSON.parse(readFileSync(join(root, "node_modules", ".package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(([path, entry]) => {
      if (path === "") return true;
      if (!(path in found)) return entry.optional === true;
      return found[path].version === entry.version && existsSync(join(root, path, "package.json"));
    });
  } catch {
    return false; // no node_modules, or not npm's
  }
}

/**
 * `npm ci`. Install scripts are off: the only one needed is run by `ensureNode`, and that of @pulumi/command would
 * start a download of its own.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
export async function installPackages(root, env) {
  refuseLink(root);
  const args = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  if (env.VASTLANE_OFFLINE) args.push("--offline");
  const result = await run("npm", args, { cwd: root, env: npmEnv(env) });
  if (result.ok) return;
  if (result.isMissing) {
    throw new Problem("VL_TOOL_MISSING", {
      what: "npm is not on PATH.",
      why: "set-up installs the project's packages with npm ci.",
      hint: "install Node 20 or newer with its npm, then run: node scripts/setup.mjs",
    });
  }
  throw npmProblem(result.output, root);
}

/**
 * Makes sure that `node_modules/.bin/node` is a Node that runs our TypeScript; gives its path.
 * Usually that is the npm package `node`. Where its binary cannot run (musl, for instance), a recent Node of the
 * system is linked in its place.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @param {(line: string) => void} log
 */
export async function ensureNode(root, env, log) {
  const folder = join(root, "node_modules", "node");
  const binary = join(folder, "bin", "node");
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  let why = "";
  if (!existsSync(binary)) {
    refuseLink(root);
    log(`Node ${version} for this project`);
    const result = await run(process.execPath, ["installArchSpecificPackage"], { cwd: folder, env: npmEnv(env) });
    if (!result.ok) why = lastLines(result.output);
  }
  const link = join(root, "node_modules", ".bin", "node");
  const check = await run(binary, ["--version"], { env });
  if (check.ok && check.output.trim() === `v${version}`) {
    relink(link, join("..", "node", "bin", "node"));
    return binary;
  }
  why ||= check.isMissing ? `${binary} is missing.` : lastLines(check.output) || `${binary} does not run here.`;
  if (isNewEnough(process.versions.node) && !process.execPath.startsWith(folder + sep)) {
    log(`Node ${process.versions.node} of this system, as the npm package's Node ${version} does not run here`);
    relink(link, process.execPath);
    return process.execPath;
  }
  throw new Problem("VL_SETUP_FAILED", {
    what: `Node ${version} could not be had from the npm package "node".`,
    why,
    hint: `connect to the network and run: npm run setup\nor install Node ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or newer yourself`,
  });
}

/**
 * Leaves node_modules as npm's own record of it says. Otherwise each `npx` reads the whole tree first, which takes it
 * half a second: the record must be newer than all folders, and know all packages.
 * @param {string} root
 */
export function settlePackages(root) {
  const folder = join(root, "node_modules");
  if (lstatSync(folder).isSymbolicLink()) return;
  // What the binary was taken from; `bin/node` is a hard link to it.
  rmSync(join(folder, "node", "node_modules"), { recursive: true, force: true });
  mkdirSync(join(folder, ".cache"), { recursive: true });
  const now = new Date();
  utimesSync(join(folder, ".package-lock.json"), now, now);
}

/**
 * Links `node_modules/.bin/vastlane` to our launcher. npx looks there first; without it, npx would copy the project
 * into its cache, slowly and over the network.
 * @param {string} root
 */
export function linkLauncher(root) {
  mkdirSync(join(root, "node_modules", ".bin"), { recursive: true });
  relink(join(root, "node_modules", ".bin", "vastlane"), join("..", "..", "bin", "vastlane.mjs"));
}

/**
 * `npm ci` begins by deleting what is in node_modules. Behind a link that is another project's.
 * @param {string} root
 */
function refuseLink(root) {
  const path = join(root, "node_modules");
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return;
  throw new Problem("VL_SETUP_FAILED", {
    what: `${path} is a link to ${realpathSync(path)}.`,
    why: "what is there does not fit package-lock.json, and npm ci would delete it.",
    hint: `rm ${path}, then run: npm run setup`,
  });
}

/** @param {string} version */
function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor);
}

/**
 * Makes a symbolic link, or turns an existing one, in one step.
 * @param {string} link
 * @param {string} target
 */
function relink(link, target) {
  try {
    if (readlinkSync(link) === target) return;
  } catch {
    // none yet, or not a link: replaced below
  }
  const temporary = `${link}.${process.pid}.tmp`;
  symlinkSync(target, temporary);
  renameSync(temporary, link);
}

/**
 * npm must not run on the Node that it is about to delete, and says nothing but errors.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
function npmEnv(env) {
  const folders = (env.PATH ?? "").split(delimiter);
  const outside = folders.filter((folder) => !folder.includes(`${sep}node_modules${sep}.bin`));
  const hasNode = outside.some((folder) => existsSync(join(folder, "node")));
  return {
    ...env,
    PATH: (hasNode ? outside : folders).join(delimiter),
    npm_config_loglevel: "error",
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    npm_config_prefer_offline: "true",
    ...(env.VASTLANE_OFFLINE ? { npm_config_offline: "true" } : {}),
  };
}

/**
 * @param {string} output
 * @param {string} root
 */
function npmProblem(output, root) {
  const why = lastLines(output);
  if (/ENOSPC|no space left/i.test(output)) {
    const hint = "free 600 MB, then run: npm run setup";
    return new Problem("VL_DISK_FULL", { what: `The disk of ${root} is full.`, why, hint });
  }
  const isNetwork = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|network/i.test(output);
  const isLock = /EUSAGE|EJSONPARSE/.test(output);
  const hint = isNetwork
    ? "connect to the network (or to your npm mirror) and run: npm run setup"
    : isLock
      ? "git checkout package.json package-lock.json, then run: npm run setup"
      : "run: npm ci, which shows all of npm's own words";
  return new Problem("VL_SETUP_FAILED", { what: "npm ci failed.", why, hint });
}

/**
 * The part of a program's output that says why it failed.
 * @param {string} output
 */
function lastLines(output) {
  const lines = output
    .split("\n")
    .map((line) => line.replace(/^npm (error|ERR!) ?/, "").trimEnd())
    .filter((line) => line.trim() !== "" && !/complete log of this run|npm help|^\s+at /.test(line));
  return lines.slice(0, 4).join("\n") || "it printed nothing";
}

/**
 * Runs a program to its end, with both of its outputs in one text.
 * @param {string} file
 * @param {string[]} args
 * @param {{ cwd?: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<{ ok: boolean, isMissing: boolean, output: string }>}
 */
function run(file, args, options) {
  return new Promise((resolve) => {
    execFile(file, args, { ...options, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const isMissing = error !== null && /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT";
      resolve({ ok: error === null, isMissing, output: `${stdout}${stderr}` || (error?.message ?? "") });
    });
  });
}
