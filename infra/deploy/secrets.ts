/**
 * The values of `vastlane:secrets`: from Pulumi's secret configuration, else the environment, else `.env`.
 * They reach the machine over SSH only. What comes from this computer's environment never enters the state, not
 * even encrypted: only a keyed fingerprint does, so that a changed value is noticed.
 */
import { createHmac } from "node:crypto";
import { UserError } from "../../common/errors.ts";

/** Where each secret has its value here. */
export interface SecretSources {
  /** Names found in the environment or `.env`, with their values. */
  here: Record<string, string>;
  /** Names that only Pulumi's secret configuration has. */
  inConfig: string[];
}

/**
 * Finds every secret before anything is rented.
 * @throws UserError VL_BAD_CONFIG naming all that have no value.
 */
export function findSecrets(
  names: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  configured: (name: string) => boolean,
): SecretSources {
  const inConfig = names.filter(configured);
  const here: Record<string, string> = {};
  for (const name of names) {
    const value = env[name];
    if (value !== undefined && !inConfig.includes(name)) here[name] = value;
  }
  const missing = names.filter((name) => !inConfig.includes(name) && here[name] === undefined);
  if (missing.length === 0) return { here, inConfig };
  throw new UserError("VL_BAD_CONFIG", {
    what: `no value for ${missing.length === 1 ? "the secret" : "the secrets"} ${missing.join(", ")}`,
    why: "vastlane:secrets names them, and neither the environment, .env nor the stack's secret configuration has them",
    hint: `put ${missing[0]}=... into .env, or run \`pulumi config set --secret vastlane:${missing[0]}\``,
  });
}

/** Changes with any value; says nothing about them without the key, and is short enough to guess nothing back. */
export function secretsFingerprint(here: Record<string, string>, key: string): string {
  const hmac = createHmac("sha256", key);
  for (const name of Object.keys(here).sort()) hmac.update(`${name}=${here[name]}\0`);
  return hmac.digest("hex").slice(0, 8);
}
