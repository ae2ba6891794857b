/**
 * The second stage of set-up, on the project's own Node: system programs, Pulumi engine and plugin, an SSH key for
 * the emulated market, the local stack. Each step says a line when it does something and nothing otherwise.
 */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { installCommandPlugin, needsDownload } from "../../cli/engine/install.ts";
import { commandPluginPiece, enginePiece } from "../../cli/engine/location.ts";
import { ensureLocalStack, resolveEngine } from "../../cli/engine.ts";
import { projectRoot as root, stateFolder, vastlaneFolder } from "../../cli/project.ts";
import { CURL, installCommand, missingTools, TOOLS, toolsMissing } from "../../cli/tools.ts";
import { hasCode, UserError } from "../../common/errors.ts";
import { findProgram } from "../../common/programs.ts";
import { DEFAULT_PUBLIC_KEY, resolveKeys } from "../../infra/ssh/keys.ts";
import { writeStamp } from "./stamp.mjs";
import { installTools } from "./system-packages.ts";

const flags = process.argv.slice(2);
/** When the first stage began, ms since the Unix epoch. */
const start = Number(flags.find((flag) => flag.startsWith("--started="))?.slice("--started=".length) ?? Date.now());
const env = process.env;
const isEngineOptional = flags.includes("--engine-optional");
const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupt.abort());

/** Files that the next set-up looks at, to see that nothing has gone. */
const programs = [process.execPath];
const places: string[] = [join(root, "node_modules", ".bin", "vastlane")];

const log = (line: string) => console.log(`set-up: ${line}`);

try {
  await prepareTools();
  const hasEngine = await prepareEngine();
  prepareKey();
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
  if (needed.length > 0) throw toolsMissing(needed, missing);
  if (missing.some((tool) => tool.isOptional)) {
    const names = missing.map((tool) => tool.program).join(", ");
    log(`without ${names} the emulator runs in plain mode: its machines are not isolated from this one.`);
    log(`for isolation: ${installCommand(missing)}`);
  }
  for (const tool of TOOLS) places.push(...[findProgram(tool.program, env.PATH)].filter((path) => path !== undefined));
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
    if (!(isEngineOptional && hasCode(error, "VL_ENGINE_MISSING"))) throw error;
    console.error(error.message);
    log("going on without the engine: the same program and providers run inside one Node process instead");
    return false;
  }
}

/** The key pair of the emulated market's machines. Nothing is ever read from or written to ~/.ssh for it. */
function prepareKey(): void {
  const folder = vastlaneFolder(env, root);
  const key = join(folder, "ssh", "id_ed25519");
  if (!existsSync(`${key}.pub`)) {
    log(`SSH key for the emulated market in ${dirname(key)}`);
    rmSync(key, { force: true }); // its making was interrupted: ssh-keygen writes the public half last
    resolveKeys({ publicKey: DEFAULT_PUBLIC_KEY, privateKey: null }, "emulator", folder);
  }
  places.push(key, `${key}.pub`);
}

async function prepareStack(): Promise<void> {
  if (await ensureLocalStack({ env, root, log, signal: interrupt.signal })) {
    log(`stack local in ${stateFolder(env, root)}`);
  }
  places.push(stateFolder(env, root));
}
