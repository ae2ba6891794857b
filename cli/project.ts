/** Where the project and what it keeps on this machine are. Everything ours is under `.vastlane/`, which git ignores. */
import { join, resolve } from "node:path";

export type Env = Readonly<Record<string, string | undefined>>;

/** The clone this file belongs to. */
export const projectRoot = resolve(import.meta.dirname, "..");

/** Our files of this project on this computer; `VASTLANE_STATE_DIR` moves them (tests do), for infra as well. */
export function vastlaneFolder(env: Env, root = projectRoot): string {
  return resolve(env.VASTLANE_STATE_DIR || join(root, ".vastlane"));
}

/** Folder of the file back end that the emulated market's stacks use. */
export function stateFolder(env: Env, root = projectRoot): string {
  return join(vastlaneFolder(env, root), "state");
}
