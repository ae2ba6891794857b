/**
 * What `vastlane doctor` looks at, as a table: a name, a look that changes nothing, and what to do when it fails.
 * "fail" is for what no command can do without; what only the real market, or only isolation, needs is a warning.
 */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../common/errors.ts";
import { findProgram } from "../../common/programs.ts";
import { emulatorStatus } from "../../emulator/index.ts";
import { environmentOf } from "../../infra/project.ts";
import { emulatorHome, resolveMarket } from "../../infra/vast/market.ts";
import { tryKey } from "../../infra/vast/try-key.ts";
import { commandPluginPiece, engineProgram, isWhole, pulumiHome } from "../engine/location.ts";
import { COMMAND_PLUGIN_VERSION, ENGINE_VERSION, versionOf } from "../engine.ts";
import { stateFolder, vastlaneFolder } from "../project.ts";
import { usd } from "../table.ts";
import { canIsolate, installCommand, missingTools, TOOLS } from "../tools.ts";
import { findInstaller } from "./installer.ts";
import { checkStores } from "./store-check.ts";
import type { Check, CheckContext, Finding } from "./types.ts";

const ok = (detail: string): Finding => ({ state: "ok", detail });
const warn = (detail: string): Finding => ({ state: "warn", detail });
const fail = (detail: string): Finding => ({ state: "fail", detail });

const SETUP = "npm run setup";
const GB = 1e9;
const MARKET_PATIENCE_MS = 5000;

export const CHECKS: readonly Check[] = [
  { name: "Node", run: checkNode, fix: SETUP },
  { name: "npm packages", run: checkInstaller, fix: `rm -rf node_modules && ${SETUP}` },
  { name: "Pulumi engine", run: checkEngine, fix: SETUP },
  { name: "Pulumi plugin", run: checkPlugin, fix: SETUP },
  ...TOOLS.filter((tool) => !tool.isOptional).map((tool) => ({
    name: tool.program,
    run: ({ env }: CheckContext) => {
      const path = findProgram(tool.program, env.PATH);
      return path ? ok(path) : fail(`not installed; needed ${tool.purpose}`);
    },
    fix: installCommand([tool]),
  })),
  { name: "isolation", run: checkIsolation, fix: "nothing to do for a demo" },
  { name: "emulator key", run: checkEmulatorKey, fix: SETUP },
  {
    name: "your SSH key",
    run: checkOwnKey,
    fix: "ssh-keygen -t ed25519, or set vastlane:ssh.publicKey to another key",
  },
  {
    name: "account key",
    run: checkAccountKey,
    fix: "put VASTAI_API_KEY=... into .env (from https://cloud.vast.ai/manage-keys/); the demo needs none",
  },
  { name: "local stack", run: checkStack, fix: SETUP },
  { name: "disk", run: checkDisk, fix: "free some space" },
  { name: "checkpoint stores", run: checkStores, fix: "see vastlane:checkpoint in the stack's file" },
  { name: "emulator", run: checkEmulator, fix: "npx vastlane emulator start" },
];

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > 22 || (major === 22 && minor >= 18);
  return isNewEnough ? ok(process.versions.node) : fail(`${process.versions.node}; 22.18 or newer is needed`);
}

function checkInstaller({ env, root }: CheckContext): Finding {
  const installer = findInstaller(root, env, process.versions);
  if (installer === "npm") return ok("installed by npm");
  const why = "Pulumi's dynamic providers need npm's flat node_modules";
  return installer === "bun"
    ? fail(`bun cannot run Pulumi's dynamic providers`)
    : warn(`${installer} was used; ${why}`);
}

async function checkEngine({ env }: CheckContext): Promise<Finding> {
  const { path, isPinned } = engineProgram(env);
  if (!existsSync(path)) return fail(`${ENGINE_VERSION} is not in ${path}`);
  const version = await versionOf(path);
  if (version === ENGINE_VERSION) return ok(`${version} in ${path}`);
  return isPinned
    ? fail(`${path} is ${version}, not ${ENGINE_VERSION}`)
    : { ...warn(`${path} is ${version}; ${ENGINE_VERSION} is the tested one`), fix: "unset VASTLANE_ENGINE" };
}

function checkPlugin({ env }: CheckContext): Finding {
  const piece = commandPluginPiece(env);
  const detail = `command ${COMMAND_PLUGIN_VERSION}`;
  return isWhole(piece) ? ok(detail) : fail(`${detail} is not in ${piece.folder}`);
}

function checkIsolation({ env }: CheckContext): Finding {
  const detail = "the emulator runs in plain mode: its machines are folders of this computer, not isolated from it";
  if (!canIsolate()) return ok(`${detail} (isolation takes Linux and root)`);
  const missing = missingTools(env).filter((tool) => tool.isOptional);
  if (missing.length === 0) return ok("the emulator's machines are isolated by bubblewrap and network namespaces");
  const names = missing.map((tool) => tool.program).join(", ");
  return { ...warn(`without ${names} ${detail}`), fix: installCommand(missing) };
}

function checkEmulatorKey({ env, root }: CheckContext): Finding {
  const path = join(vastlaneFolder(env, root), "ssh", "id_ed25519");
  return existsSync(path) && existsSync(`${path}.pub`) ? ok(path) : fail(`no SSH key for emulated machines at ${path}`);
}

function checkOwnKey({ env }: CheckContext): Finding {
  const path = join(env.HOME || homedir(), ".ssh", "id_ed25519.pub");
  return existsSync(path) ? ok(path) : warn(`none at ${path}; real machines need one, the demo does not`);
}

/** A key that is there is tried: a wrong one is better known before a rent. */
async function checkAccountKey({ env, root, clock, signal }: CheckContext): Promise<Finding> {
  const all = environmentOf(root, env as NodeJS.ProcessEnv);
  const name = ["VASTAI_API_KEY", "VAST_API_KEY"].find((candidate) => all[candidate]);
  if (!name) return warn("none; only needed to rent real machines");
  const detail = `${name} from ${env[name] ? "the environment" : ".env"}`;
  const market = resolveMarket("vast", root, all);
  const soon = AbortSignal.any([signal, AbortSignal.timeout(MARKET_PATIENCE_MS)]);
  try {
    const { id, creditUsd } = await tryKey(market, { clock, signal: soon });
    return ok(`${detail}: account ${id}, credit ${usd(creditUsd)}`);
  } catch (error) {
    const isMarketAway = error instanceof UserError && error.code.startsWith("VL_MARKET_");
    if (!isMarketAway && !soon.aborted) throw error;
    return { ...warn(`${detail}; not tried, as ${market.url} does not answer`), fix: "check the network, then again" };
  }
}

function checkStack({ env, root }: CheckContext): Finding {
  const folder = stateFolder(env, root);
  return existsSync(join(folder, ".pulumi", "stacks")) ? ok(folder) : fail(`no stacks in ${folder}`);
}

async function checkDisk({ env, root }: CheckContext): Promise<Finding> {
  const folders = [root, pulumiHome(env)].filter((folder) => existsSync(folder));
  const free = await Promise.all(
    folders.map(async (folder) => {
      const { bavail, bsize } = await statfs(folder);
      return { folder, gb: (bavail * bsize) / GB };
    }),
  );
  const least = free.reduce((a, b) => (b.gb < a.gb ? b : a));
  const detail = `${least.gb.toFixed(1)} GB free in ${least.folder}`;
  return least.gb < 1 ? fail(detail) : least.gb < 3 ? warn(detail) : ok(detail);
}

async function checkEmulator({ env, root }: CheckContext): Promise<Finding> {
  const home = emulatorHome(root, env as NodeJS.ProcessEnv);
  const status = await emulatorStatus(home);
  return status ? ok(`runs in ${status.mode} mode (process ${status.pid})`) : ok("not running; the demo starts it");
}
