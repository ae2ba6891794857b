/**
 * Makes `ssh vastlane-<stack>` work on a person's computer.
 * Each stack has one file of ours; one Include line in `~/.ssh/config` brings them all in. In CI, or where the
 * person does not want it, nothing outside the project is touched: `ssh -F .vastlane/ssh.d/<host>.conf <host>`
 * works there.
 */
import { chmodSync, copyFileSync, existsSync, lstatSync, mkdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { messageOf } from "../../common/errors.ts";
import { readFileIfThere, writeFileAtomic } from "../../common/files.ts";
import { configWord, type HostEntry, renderHostEntry } from "./host-entry.ts";
import { withInclude, withoutInclude } from "./include-line.ts";

/** The Include line for this home; absolute, as OpenSSH ignores `$HOME`. */
export function includeLine(home: string): string {
  return `Include ${configWord(join(home, ".vastlane", "ssh.d", "*.conf"))}`;
}

/** Whether files outside the project may be touched: not in CI. */
export function mayTouchHome(env: Readonly<Record<string, string | undefined>>): boolean {
  return ["", "0", "false"].includes((env.CI ?? "").toLowerCase());
}

/** The home whose SSH configuration `up` may extend: none in CI, or where VASTLANE_SSH_CONFIG=off says so. */
export function hostEntryHome(env: Readonly<Record<string, string | undefined>>, home: string): string | null {
  return mayTouchHome(env) && env.VASTLANE_SSH_CONFIG !== "off" ? (env.HOME ?? home) : null;
}

export interface RegisterOptions {
  /** The project's `.vastlane` folder. */
  stateDir: string;
  /** The person's home, or null to touch nothing outside the project. */
  home: string | null;
}

export interface Registered {
  /** The entry's file inside the project: `ssh -F <configFile> <host>` works in any case. */
  configFile: string;
  /** Whether plain `ssh <host>` works. */
  included: boolean;
  /** What a person should know or do, or null. */
  note: string | null;
}

/**
 * Writes the host entry, and on a person's computer also makes sure that OpenSSH reads it. Idempotent. A file
 * that cannot be written there is a note, never an error: a machine must not be lost over a config file.
 */
export function registerHost(entry: HostEntry, options: RegisterOptions): Registered {
  const text = renderHostEntry(entry);
  const configFile = join(options.stateDir, "ssh.d", `${entry.host}.conf`);
  writeIfChanged(configFile, text);
  if (options.home === null) return { configFile, included: false, note: null };
  try {
    writeIfChanged(join(options.home, ".vastlane", "ssh.d", `${entry.host}.conf`), text);
    installInclude(options.home);
  } catch (error) {
    const note = `could not set up \`ssh ${entry.host}\` (${messageOf(error)}); use \`ssh -F ${configFile} ${entry.host}\`, or put this line first in your ~/.ssh/config: ${includeLine(options.home)}`;
    return { configFile, included: false, note };
  }
  return { configFile, included: true, note: homeNote(options.home, configFile, entry.host) };
}

/** Forgets the host of a stack that was removed; the Include line stays for the others. */
export function unregisterHost(host: string, options: RegisterOptions): void {
  rmSync(join(options.stateDir, "ssh.d", `${host}.conf`), { force: true });
  if (options.home !== null) rmSync(join(options.home, ".vastlane", "ssh.d", `${host}.conf`), { force: true });
}

/** Puts the Include line into `~/.ssh/config`; the file as it was is kept beside it. True when it changed something. */
export function installInclude(home: string): boolean {
  const config = configPath(home);
  const before = readFileIfThere(config);
  const after = withInclude(before ?? "", includeLine(home));
  if (after === before) return false;
  mkdirSync(join(home, ".ssh"), { recursive: true, mode: 0o700 });
  if (before !== undefined) copyFileSync(config, backupPath(home));
  writeKeepingMode(config, after);
  return true;
}

/** Takes the line out again; a file that only `installInclude` had made goes as well. True when it changed something. */
export function removeInclude(home: string): boolean {
  const config = configPath(home);
  const before = readFileIfThere(config);
  if (before === undefined) return false;
  const after = withoutInclude(before, includeLine(home));
  if (after === before) return false;
  const backup = backupPath(home);
  if (after === "" && !existsSync(backup)) rmSync(config);
  else writeKeepingMode(config, after);
  // The backup has done its duty when what is there now is what it holds.
  if (readFileIfThere(backup) === after) rmSync(backup);
  return true;
}

/** The file behind `~/.ssh/config`: a link (dotfiles in a repository) is followed, so that it stays a link. */
function configPath(home: string): string {
  const path = join(home, ".ssh", "config");
  try {
    return realpathSync(path);
  } catch {
    const isDangling = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    return isDangling ? resolve(dirname(path), readlinkSync(path)) : path;
  }
}

function backupPath(home: string): string {
  return join(home, ".ssh", "config.before-vastlane");
}

function writeKeepingMode(path: string, text: string): void {
  const mode = lstatSync(path, { throwIfNoEntry: false })?.mode;
  writeFileAtomic(path, text, 0o600);
  chmodSync(path, mode === undefined ? 0o600 : mode & 0o777);
}

function writeIfChanged(path: string, text: string): void {
  if (readFileIfThere(path) === text) return;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileAtomic(path, text, 0o600);
}

/** OpenSSH finds `~` in the user database and not in `$HOME`: where they differ, it reads another file. */
function homeNote(home: string, configFile: string, host: string): string | null {
  if (resolve(home) === resolve(userInfo().homedir)) return null;
  return `OpenSSH reads ${join(userInfo().homedir, ".ssh/config")}, not the one in ${home}; use \`ssh -F ${configFile} ${host}\``;
}
