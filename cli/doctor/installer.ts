/** Which package manager made node_modules. Pulumi's dynamic providers only work with npm's flat layout. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Env } from "../project.ts";

export type Installer = "npm" | "pnpm" | "yarn" | "bun" | "unknown";

/** Files that each package manager, and no other, leaves in node_modules or beside package.json. */
const TRACES: readonly [Installer, string][] = [
  ["pnpm", "node_modules/.modules.yaml"],
  ["pnpm", "node_modules/.pnpm"],
  ["yarn", "node_modules/.yarn-integrity"],
  ["yarn", "node_modules/.yarn-state.yml"],
  ["yarn", ".pnp.cjs"],
  ["npm", "node_modules/.package-lock.json"],
  ["bun", "bun.lock"],
  ["bun", "bun.lockb"],
];

/** What runs us counts first, then what made node_modules. */
export function findInstaller(
  root: string,
  env: Env,
  versions: Readonly<Record<string, string | undefined>>,
): Installer {
  if (versions.bun !== undefined || /^bun\//.test(env.npm_config_user_agent ?? "")) return "bun";
  return TRACES.find(([, path]) => existsSync(join(root, path)))?.[0] ?? "unknown";
}
