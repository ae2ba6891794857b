/**
 * Which scope belongs to which stack, on this computer: `.vastlane/scopes.json`. A label carries only a hash, and
 * `status` should say a name. A lost file costs nothing but the name.
 */
import { join } from "node:path";
import { z } from "zod";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";

const schema = z.record(z.string(), z.object({ stack: z.string(), project: z.string() }));
export type Scopes = z.infer<typeof schema>;

export function readScopes(stateDir: string): Scopes {
  try {
    const parsed = schema.safeParse(readJsonIfThere(pathOf(stateDir)) ?? {});
    return parsed.success ? parsed.data : {};
  } catch {
    return {};
  }
}

/** @throws when the file cannot be written: who is about to rent wants to know of a full disk before. */
export function rememberScope(stateDir: string, scope: string, names: { stack: string; project: string }): void {
  const { stack, project } = names;
  writeFileAtomic(pathOf(stateDir), JSON.stringify({ ...readScopes(stateDir), [scope]: { stack, project } }, null, 1));
}

export function forgetScope(stateDir: string, scope: string): void {
  const { [scope]: _, ...rest } = readScopes(stateDir);
  try {
    writeFileAtomic(pathOf(stateDir), JSON.stringify(rest, null, 1));
  } catch {
    // only a name
  }
}

function pathOf(stateDir: string): string {
  return join(stateDir, "scopes.json");
}
