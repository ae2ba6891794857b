/**
 * Puts the pinned engine and plugin under PULUMI_HOME: from an offline mirror folder if there is one, else by the
 * official download. A piece is unpacked beside its place and renamed into it, so it is whole or absent whatever
 * moment set-up dies at, and two set-ups at once both end well.
 */
import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { execa } from "execa";
import { messageOf, UserError } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import type { Log } from "../../common/log.ts";
import { isProgram } from "../../common/programs.ts";
import { type Env, projectRoot } from "../project.ts";
import {
  COMMAND_PLUGIN_VERSION,
  commandPluginPiece,
  ENGINE_VERSION,
  enginePiece,
  engineProgram,
  isWhole,
  type Piece,
  pulumiHome,
} from "./location.ts";

export interface InstallOptions {
  env: Env;
  root: string;
  log: Log;
  signal?: AbortSignal;
}

/** Makes sure that the pinned engine is there. @throws UserError VL_ENGINE_MISSING with everything that was tried. */
export async function installEngine(options: InstallOptions): Promise<void> {
  await install(enginePiece(options.env), downloadEngine, options);
}

/** Makes sure that the `command` plugin is there; needs the engine. @throws UserError VL_ENGINE_MISSING */
export async function installCommandPlugin(options: InstallOptions): Promise<void> {
  await install(commandPluginPiece(options.env), downloadPlugin, options);
}

/** Whether any piece can only come from the network, which takes `curl`. */
export function needsDownload(env: Env, root: string): boolean {
  return [enginePiece(env), commandPluginPiece(env)].some(
    (piece) => !isWhole(piece) && !existsSync(join(mirrorFolder(env, root), piece.archive)),
  );
}

/** The folder of archives: VASTLANE_ENGINE_MIRROR, else `shared/engine` beside the project. */
function mirrorFolder(env: Env, root: string): string {
  return env.VASTLANE_ENGINE_MIRROR ? resolve(env.VASTLANE_ENGINE_MIRROR) : resolve(root, "..", "shared", "engine");
}

type Download = (piece: Piece, scratch: string, options: InstallOptions) => Promise<string>;

async function install(piece: Piece, download: Download, options: InstallOptions): Promise<void> {
  if (isWhole(piece)) return;
  const home = pulumiHome(options.env);
  const scratch = makeScratch(home, piece);
  try {
    const folder = await fetchPiece(piece, download, scratch, options);
    moveIntoPlace(folder, piece, scratch);
    rmSync(`${piece.folder}.partial`, { force: true });
  } catch (error) {
    throw asDiskFull(error, home) ?? error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Unpacks or downloads the piece into a folder under `scratch` and gives that folder, checked to be whole. */
async function fetchPiece(piece: Piece, download: Download, scratch: string, options: InstallOptions) {
  const mirror = mirrorFolder(options.env, options.root);
  const archive = join(mirror, piece.archive);
  const tried = [`${piece.folder} does not hold it`];
  if (existsSync(archive)) {
    options.log(`${piece.title} from ${mirror}`);
    await checkSum(archive, piece);
    return unpack(archive, piece, scratch);
  }
  tried.push(`there is no offline archive ${archive}`);
  if (options.env.VASTLANE_OFFLINE) {
    tried.push("downloads are off (VASTLANE_OFFLINE is set)");
  } else {
    try {
      options.log(`${piece.title} by the official download (100 MB or so)`);
      const folder = await download(piece, scratch, options);
      if (isWhole({ ...piece, folder })) return folder;
      tried.push("the official download left something out");
    } catch (error) {
      options.signal?.throwIfAborted();
      tried.push(`the official download failed: ${messageOf(error)}`);
    }
  }
  throw new UserError("VL_ENGINE_MISSING", {
    what: `${piece.title} is not on this machine and could not be fetched.`,
    why: tried.join("\n"),
    hint: [
      "connect to the network and run: npm run setup",
      `or put ${piece.archive} and its SHA256SUMS into a folder and set VASTLANE_ENGINE_MIRROR to it`,
    ].join("\n"),
  });
}

async function checkSum(archive: string, piece: Piece): Promise<void> {
  const sums = join(dirname(archive), "SHA256SUMS");
  const line = readFileIfThere(sums)
    ?.split("\n")
    .find((text) => text.replace(/^\S+\s+\*?/, "") === piece.archive);
  const wanted = line?.split(/\s/)[0]?.toLowerCase();
  const hash = createHash("sha256");
  await pipeline(createReadStream(archive), hash);
  const found = hash.digest("hex");
  if (wanted === found) return;
  throw new UserError("VL_ENGINE_MISSING", {
    what: `The offline archive of ${piece.title} was refused.`,
    why: wanted
      ? `${archive} has SHA-256 ${found.slice(0, 16)}..., and SHA256SUMS beside it says ${wanted.slice(0, 16)}...`
      : `${sums} does not list ${piece.archive}, so the archive cannot be checked.`,
    hint: "copy the archive and its SHA256SUMS again, or remove the archive to use the official download",
  });
}

async function unpack(archive: string, piece: Piece, scratch: string): Promise<string> {
  const folder = join(scratch, "unpacked");
  mkdirSync(folder);
  await run("tar", ["-xzf", archive, "-C", folder, `--strip-components=${piece.strip}`], {});
  const absent = piece.programs.filter((name) => !isProgram(join(folder, name)));
  if (absent.length === 0) return folder;
  throw new UserError("VL_ENGINE_MISSING", {
    what: `The offline archive of ${piece.title} is not what it should be.`,
    why: `${archive} holds no program ${absent.join(", ")}.`,
    hint: "copy the archive again, or remove it to use the official download",
  });
}

/** The npm package `pulumi` runs the official installer; it is given a PULUMI_HOME of its own, as it unpacks in place. */
async function downloadEngine(piece: Piece, scratch: string, options: InstallOptions): Promise<string> {
  const script =
    'require("pulumi/lib/resolve").resolve({ version: process.argv[1] }).catch((e) => { console.error(e.cause?.message ?? e.message); process.exit(1); })';
  await run(process.execPath, ["-e", script, ENGINE_VERSION], {
    cwd: projectRoot, // the npm shim is ours, also for a project elsewhere
    env: { PULUMI_HOME: scratch },
    cancelSignal: options.signal,
  });
  return join(scratch, "versions", ENGINE_VERSION, basename(piece.folder));
}

/** Pulumi's own plugin installer, pointed at the scratch folder. */
async function downloadPlugin(piece: Piece, scratch: string, options: InstallOptions): Promise<string> {
  await run(
    engineProgram(options.env).path,
    ["plugin", "install", "resource", "command", `v${COMMAND_PLUGIN_VERSION}`],
    {
      cwd: scratch,
      env: { PULUMI_HOME: scratch, PULUMI_SKIP_UPDATE_CHECK: "true" },
      cancelSignal: options.signal,
    },
  );
  return join(scratch, "plugins", basename(piece.folder));
}

/** Runs a program to its end. Fails with its last line of output, which names the cause in all the programs used here. */
async function run(
  file: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string>; cancelSignal?: AbortSignal | undefined },
) {
  const { cancelSignal, ...rest } = options;
  const result = await execa(file, args, {
    ...rest,
    ...(cancelSignal ? { cancelSignal } : {}),
    stdin: "ignore",
    all: true,
    reject: false,
    timeout: 15 * 60_000,
  });
  if (!result.failed) return;
  const lastLine = result.all?.trim().split("\n").at(-1);
  throw new Error(result.exitCode === undefined || !lastLine ? result.shortMessage : lastLine);
}

/** A folder on the same file system as the piece's place. Those of set-ups that were killed long ago are removed. */
function makeScratch(home: string, piece: Piece): string {
  try {
    mkdirSync(home, { recursive: true });
    for (const name of readdirSync(home).filter((name) => name.startsWith(SCRATCH))) {
      const age = Date.now() - (statSync(join(home, name), { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > 3600_000) rmSync(join(home, name), { recursive: true, force: true });
    }
    return mkdtempSync(join(home, SCRATCH));
  } catch (cause) {
    throw new UserError("VL_ENGINE_MISSING", {
      what: `${piece.title} cannot be put into ${home}.`,
      why: messageOf(cause),
      hint: "make that folder writable, or set PULUMI_HOME to another one",
      cause,
    });
  }
}

const SCRATCH = ".vastlane-unpack-";

/** Renames `from` to the piece's place. Something broken in the way is moved out; something whole wins. */
function moveIntoPlace(from: string, piece: Piece, scratch: string): void {
  mkdirSync(dirname(piece.folder), { recursive: true });
  for (let attempt = 1; !isWhole(piece); attempt++) {
    try {
      if (existsSync(piece.folder)) renameSync(piece.folder, join(scratch, `broken-${attempt}`));
      rmSync(`${piece.folder}.partial`, { force: true });
      renameSync(from, piece.folder);
    } catch (error) {
      // Another set-up may be doing the same at this moment; then its piece is whole in a moment.
      if (attempt === 5) throw error;
    }
  }
}

function asDiskFull(error: unknown, folder: string): UserError | undefined {
  const isFull =
    (error as NodeJS.ErrnoException).code === "ENOSPC" || /no space left on device/i.test(messageOf(error));
  if (!isFull) return undefined;
  return new UserError("VL_DISK_FULL", {
    what: `The disk of ${folder} is full.`,
    why: "The Pulumi engine and its plugin need 200 MB, and as much again while they are unpacked.",
    hint: "free some space, or set PULUMI_HOME to a folder on another disk; then run: npm run setup",
    cause: error,
  });
}
