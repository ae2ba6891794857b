/**
 * Which Pulumi engine is used and where its files are, without starting or fetching anything.
 * One version is pinned, so that one state never meets two engines; it lies where the npm package `pulumi`
 * and the Automation API look first, so raw `npx pulumi` uses the same files.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, sep } from "node:path";
import { UserError } from "../../common/errors.ts";
import { isProgram } from "../../common/programs.ts";
import { type Env, projectRoot } from "../project.ts";

export const ENGINE_VERSION = "3.259.0";
export const COMMAND_PLUGIN_VERSION = "1.2.1";

/** Something that set-up puts under PULUMI_HOME: a folder of programs that came from one archive. */
export interface Piece {
  /** As people read it. */
  title: string;
  /** The archive's name in the official naming, for this platform. */
  archive: string;
  /** Leading path parts to drop when unpacking. */
  strip: number;
  /** Where it lives in the end. */
  folder: string;
  /** Files in `folder` without which it is not whole. */
  programs: string[];
}

export function pulumiHome(env: Env): string {
  return env.PULUMI_HOME || join(env.HOME || homedir(), ".pulumi");
}

/** The pinned engine: CLI, language host and dynamic provider host. */
export function enginePiece(env: Env): Piece {
  return {
    title: `Pulumi engine ${ENGINE_VERSION}`,
    archive: `pulumi-v${ENGINE_VERSION}-${process.platform}-${process.arch}.tar.gz`,
    strip: 1,
    folder: join(pulumiHome(env), "versions", ENGINE_VERSION, "bin"),
    programs: ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs"],
  };
}

/** The plugin of `@pulumi/command`; its archives say amd64 where Node says x64. */
export function commandPluginPiece(env: Env): Piece {
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  return {
    title: `Pulumi plugin command ${COMMAND_PLUGIN_VERSION}`,
    archive: `pulumi-resource-command-v${COMMAND_PLUGIN_VERSION}-${process.platform}-${arch}.tar.gz`,
    strip: 0,
    folder: join(pulumiHome(env), "plugins", `resource-command-v${COMMAND_PLUGIN_VERSION}`),
    programs: ["pulumi-resource-command"],
  };
}

/** Whether all of a piece's programs are there. A `.partial` file is Pulumi's own mark of an unfinished plugin. */
export function isWhole(piece: Piece): boolean {
  return piece.programs.every((name) => isProgram(join(piece.folder, name))) && !existsSync(`${piece.folder}.partial`);
}

/**
 * The engine's program: the pinned one, or with `VASTLANE_ENGINE=path` the first `pulumi` on PATH that is not the
 * npm package's launcher (which would be the pinned one again).
 * @throws UserError VL_ENGINE_MISSING when PATH has none, VL_USAGE for another value of VASTLANE_ENGINE.
 */
export function engineProgram(env: Env): { path: string; isPinned: boolean } {
  if (!env.VASTLANE_ENGINE) return { path: join(enginePiece(env).folder, "pulumi"), isPinned: true };
  if (env.VASTLANE_ENGINE !== "path") {
    throw new UserError("VL_USAGE", {
      what: `VASTLANE_ENGINE is "${env.VASTLANE_ENGINE}".`,
      why: 'Only "path" is known: use the pulumi on PATH in place of the pinned engine.',
      hint: "unset VASTLANE_ENGINE, or set it to path",
    });
  }
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes(`node_modules${sep}.bin`));
  const path = folders.map((folder) => join(folder, "pulumi")).find(isProgram);
  if (path) return { path, isPinned: false };
  throw new UserError("VL_ENGINE_MISSING", {
    what: "There is no pulumi on PATH.",
    why: "VASTLANE_ENGINE=path asks for it in place of the pinned engine.",
    hint: `unset VASTLANE_ENGINE to use Pulumi ${ENGINE_VERSION}, or install Pulumi`,
  });
}

/**
 * PATH with the engine's folder and a Node that runs TypeScript in front, each once. A project of its own (not a
 * clone of vastlane) may have no Node 24: then the clone's is found, which is also the one that runs this code.
 */
export function pathWithEngine(env: Env, root: string): string {
  const bins = [root, projectRoot].map((folder) => join(folder, "node_modules", ".bin"));
  const first = [...new Set([dirname(engineProgram(env).path), ...bins])];
  const rest = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "" && !first.includes(folder));
  return [...first, ...rest].join(delimiter);
}
