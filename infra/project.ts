/** Where a project lives on this computer, and what its `.env` says. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { UserError } from "../common/errors.ts";
import { readFileIfThere } from "../common/files.ts";

/** The folder with Pulumi.yaml, at or above `from`. Providers and programs are started in a folder below it. */
export function findProjectRoot(from: string): string {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "Pulumi.yaml"))) return folder;
    if (dirname(folder) === folder) {
      throw new UserError("VL_USAGE", {
        what: `no Pulumi.yaml in ${from} or above it`,
        hint: "run the command in a vastlane project",
      });
    }
  }
}

/** Our files of this project on this computer: never committed, safe to lose except while something is rented. */
export function stateFolder(root: string): string {
  return process.env.VASTLANE_STATE_DIR ?? join(root, ".vastlane");
}

/** The environment over the project's `.env`: what is set in the shell wins. */
export function environmentOf(root: string, env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const text = readFileIfThere(join(root, ".env"));
  return text === undefined ? env : { ...(parseEnv(text) as NodeJS.ProcessEnv), ...env };
}

/** `~/x` as a path of this person. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}
