/**
 * The second stage of set-up, on the project's own Node: system programs, Pulumi engine and plugin, an SSH key for
 * the emulated market, the local stack. Each step says a line when it does something and nothing otherwise.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { installCommandPlugin, needsDownload } from "../../cli/engine/install.ts";
import { commandPluginPiece, enginePiece } from "../../cli/engine/location.ts";
import { ensureLocalStack, resolveEngine } from "../../cli/engine.ts";
import { localKeyFile, projectRoot as root, stateFolder } from "../../cli/project.ts";
import { CURL, findProgram, installCommand, missingTools, TOOLS } from "../../cli/tools.ts";
import { UserError } from "../../common/errors.ts";
import { writeStamp } from "./stamp.mjs";
import { installTools } from "./system-packages.ts";

const start = Date.now();
const env = process.env;
const isEngineOptional = process.argv.includes("--engine-optional");
const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupt.abort());

/** Files that the next set-up looks at, to see that nothing has gone. */
const programs = [process.execPath];
const places: string[] = [join(root, "node_modules", ".bin", "vastlane")];

const log = (line: string) => console.log(`set-up: ${line}`);

try {
  await prepareTools();
  const hasEngine = await prepareEngine();
  await prepareKey();
  if (hasEngine) await prepareStack();
  // Without the engine nothing is recorded, so the next set-up tries again.
  if (hasEngine) writeStamp(root, env, { programs, places });
  log(`done in ${((Date.now() - start) / 1000).toFixed(1)} s`);
} catch (error) {
  if (interrupt.signal.aborted) process.exit(130);
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exit(1);
}

async function prepareTools(): Promise<void> {
  const needsCurl = env.VASTLANE_ENGINE !== "path" && !env.VASTLANE_OFFLINE && needsDownload(env, root);
  const wanted = needsCurl ? [...TOOLS, CURL] : TOOLS;
  const missing = await installTools(missingTools(env, wanted), env, log, interrupt.signal);
  const needed = missing.filter((tool) => !tool.isOptional && tool !== CURL);
  if (needed.length > 0) {
    throw new UserError("VL_TOOL_MISSING", {
      what: `Missing on this machine: ${needed.map((tool) => tool.program).join(", ")}.`,
      why: needed.map((tool) => `${tool.program} is needed ${tool.purpose}`).join("\n"),
      hint: `${installCommand(missing)}\nthen run: npm run setup`,
    });
  }
  if (missing.some((tool) => tool.isOptional)) {
    const names = missing.map((tool) => tool.program).join(", ");
    log(`without ${names} the emulator runs in plain mode: its machines are not isolated from this one.`);
    log(`for isolation: ${installCommand(missing)}`);
  }
  for (const tool of TOOLS) places.push(...[findProgram(tool.program, env)].filter((path) => path !== undefined));
}

/** False when there is no engine and the caller can do without. */
async function prepareEngine(): Promise<boolean> {
  try {
    const engine = await resolveEngine({ env, root, log, signal: interrupt.signal });
    await installCommandPlugin({ env, root, log, signal: interrupt.signal });
    programs.push(engine.path);
    for (const piece of [enginePiece(env), commandPluginPiece(env)]) {
      for (const name of piece.programs)
        if (existsSync(join(piece.folder, name))) programs.push(join(piece.folder, name));
    }
    return true;
  } catch (error) {
    if (!(isEngineOptional && error instanceof UserError && error.code === "VL_ENGINE_MISSING")) throw error;
    console.error(error.message);
    log("going on without the engine: the same program and providers run inside one Node process instead");
    return false;
  }
}

/**
 * The emulated market needs a key that works without a question. The person's own is used when it does; else the
 * project gets one of its own. Nothing is ever written to ~/.ssh.
 */
async function prepareKey(): Promise<void> {
  const own = localKeyFile(root);
  const home = join(env.HOME || homedir(), ".ssh", "id_ed25519");
  if (existsSync(own) || (await isUsableKey(home))) {
    places.push(existsSync(own) ? own : home);
    return;
  }
  log(`SSH key for the emulated market in ${dirname(own)}`);
  mkdirSync(dirname(own), { recursive: true, mode: 0o700 });
  const scratch = mkdtempSync(join(dirname(own), ".new-"));
  try {
    const key = join(scratch, "key");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "vastlane emulated market", "-f", key]);
    // The private key last: whoever sees it can count on the public one.
    renameSync(`${key}.pub`, `${own}.pub`);
    renameSync(key, own);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  places.push(own);
}

/** Whether the key is there with its public half and opens without a passphrase. */
async function isUsableKey(path: string): Promise<boolean> {
  if (!existsSync(path) || !existsSync(`${path}.pub`)) return false;
  const result = await execa("ssh-keygen", ["-y", "-P", "", "-f", path], { stdin: "ignore", reject: false });
  return !result.failed;
}

async function prepareStack(): Promise<void> {
  if (await ensureLocalStack({ env, root, log, signal: interrupt.signal })) {
    log(`stack local in ${stateFolder(env, root)}`);
  }
  places.push(stateFolder(env, root));
}
