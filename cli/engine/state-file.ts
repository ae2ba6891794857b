/**
 * State that a killed engine left unreadable. The file back end replaces a stack's file whole, but writes the sidecar
 * with its checksum (`<stack>.json.attrs`) in place: killed in that moment, the sidecar is empty and every command
 * ends with "failed to load checkpoint: EOF" (seen with 3.259.0). Without a sidecar the back end reads the file as it
 * is, so a broken one is removed; the file itself is never touched.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../project.ts";
import { type EnvironmentOptions, projectName } from "./environment.ts";
import { backendFolder } from "./lock.ts";

/** Call it only when nobody holds the stack's lock. Returns the files that were removed. */
export function repairStateFile(stack: string, options: EnvironmentOptions = {}): string[] {
  const { root = projectRoot } = options;
  const backend = backendFolder(stack, options);
  if (backend === undefined) return [];
  const file = join(backend, ".pulumi", "stacks", projectName(root), `${stack}.json`);
  return [`${file}.attrs`, `${file}.bak.attrs`].filter((sidecar) => {
    if (!isBroken(sidecar)) return false;
    rmSync(sidecar, { force: true });
    return true;
  });
}

function isBroken(path: string): boolean {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return false; // there is none
  }
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}
