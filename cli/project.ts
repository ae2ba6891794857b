/** Where the project and what it keeps on this machine are. Everything ours is under `.vastlane/`, which git ignores. */
import { join, resolve } from "node:path";

export type Env = Readonly<Record<string, string | undefined>>;

/** The clone this file belongs to. */
export const projectRoot = resolve(import.meta.dirname, "..");

/** Folder of the file back end that the emulated market's stacks use; `VASTLANE_STATE` moves it (tests do). */
export function stateFolder(env: Env, root = projectRoot): string {
  return env.VASTLANE_STATE ? resolve(env.VASTLANE_STATE) : join(root, ".vastlane", "state");
}

/** Folder of the emulator's daemon; `VASTLANE_EMULATOR_HOME` moves it. */
export function emulatorHome(env: Env, root = projectRoot): string {
  return env.VASTLANE_EMULATOR_HOME ? resolve(env.VASTLANE_EMULATOR_HOME) : join(root, ".vastlane", "emulator");
}

/** The project's own SSH key, made by set-up for the emulated market where the person has no ~/.ssh/id_ed25519. */
export function localKeyFile(root = projectRoot): string {
  return join(root, ".vastlane", "ssh", "id_ed25519");
}
