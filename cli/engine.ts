/**
 * The Pulumi engine as the rest of the CLI and the tests use it: which program, which environment, the local stack,
 * and locks left by killed runs. Knows nothing of what the program declares.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../common/errors.ts";
import { type Log, silent } from "../common/log.ts";
import { type EnvironmentOptions, engineVariables, projectName, pulumiEnv } from "./engine/environment.ts";
import { ENGINE_VERSION, enginePiece, engineProgram, isWhole } from "./engine/location.ts";
import { projectRoot, stateFolder } from "./project.ts";

export {
  projectName,
  pulumiEnv,
  pulumiVariables,
  stackMarket,
  stackNames,
  type Variables,
} from "./engine/environment.ts";
export { COMMAND_PLUGIN_VERSION, ENGINE_VERSION } from "./engine/location.ts";
export { describeHolder, type LockHolder, recoverLock } from "./engine/lock.ts";
export { repairStateFile } from "./engine/state-file.ts";

export interface Engine {
  /** The `pulumi` program. */
  path: string;
  /** As "3.259.0". */
  version: string;
  /** Variables that every use of it needs, on top of the process's own; see also `pulumiEnv`. */
  env: Record<string, string>;
}

export interface EngineOptions extends EnvironmentOptions {
  log?: Log;
  signal?: AbortSignal;
}

/**
 * Finds the engine, and fetches the pinned one when it is not there (offline mirror, then official download).
 * Costs no process when the pinned engine is there.
 * @throws UserError VL_ENGINE_MISSING when none can be had.
 */
export async function resolveEngine(options: EngineOptions = {}): Promise<Engine> {
  const { env = process.env, root = projectRoot, log = silent, signal } = options;
  const { path, isPinned } = engineProgram(env);
  if (isPinned && !isWhole(enginePiece(env))) {
    // Loaded only when needed: every command passes here.
    const { installEngine } = await import("./engine/install.ts");
    await installEngine({ env, root, log, ...(signal ? { signal } : {}) });
  }
  const version = isPinned ? ENGINE_VERSION : await versionOf(path);
  return { path, version, env: engineVariables(env, root) };
}

/** What a `pulumi` program says its version is. @throws UserError VL_ENGINE_MISSING when it does not run here. */
export async function versionOf(path: string): Promise<string> {
  try {
    const { execa } = await import("execa");
    const { stdout } = await execa(path, ["version"], { env: { PULUMI_SKIP_UPDATE_CHECK: "true" }, timeout: 30_000 });
    return stdout.trim().replace(/^v/, "");
  } catch (cause) {
    throw new UserError("VL_ENGINE_MISSING", {
      what: `The Pulumi engine ${path} does not run on this machine.`,
      why: messageOf(cause).split("\n")[0] ?? "",
      hint: "remove its folder and run: npm run setup",
      cause,
    });
  }
}

/**
 * Makes the state folder and the stack in it, once; false when it was there. No effect on the stack's resources.
 * The committed `encryptionsalt` of its file is used as it is, so git sees no change.
 * @throws UserError VL_PULUMI_FAILED when the engine refuses.
 */
export async function ensureLocalStack(options: EngineOptions & { stack?: string } = {}): Promise<boolean> {
  const { env = process.env, root = projectRoot, stack = "local" } = options;
  const folder = stateFolder(env, root);
  if (isStackThere(folder, root, stack)) return false;
  mkdirSync(folder, { recursive: true });
  const engine = await resolveEngine(options);
  const { execa } = await import("execa");
  const result = await execa(engine.path, ["stack", "init", stack, "--no-select", "--non-interactive"], {
    cwd: root,
    env: pulumiEnv(stack, options),
    extendEnv: false,
    stdin: "ignore",
    all: true,
    reject: false,
  });
  // A second set-up at the same moment may have made it first.
  if (!result.failed || isStackThere(folder, root, stack)) return true;
  throw new UserError("VL_PULUMI_FAILED", {
    what: `Pulumi could not make the stack ${stack} in ${folder}.`,
    why: result.all?.trim() || result.shortMessage,
    hint: "npx vastlane doctor",
  });
}

function isStackThere(folder: string, root: string, stack: string): boolean {
  const file = join(folder, ".pulumi", "stacks", projectName(root), `${stack}.json`);
  return existsSync(file) || existsSync(`${file}.gz`);
}
