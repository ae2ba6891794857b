/** Tests that need the real Pulumi engine: skipped by name where there is none, and failing there in CI. */
import { describe } from "vitest";
import { commandPluginPiece, enginePiece, isWhole } from "../../cli/engine/location.ts";

/** Why tests with the real engine cannot run here; undefined when they can, or must. */
export function engineMissing(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (env.CI || (isWhole(enginePiece(env)) && isWhole(commandPluginPiece(env)))) return undefined;
  return "no Pulumi engine on this machine";
}

/** `describe`, or the same skipped, with the reason in a form that the closing lines of `npm test` show. */
export function describeWithEngine(name: string, body: () => void): void {
  const reason = engineMissing();
  if (reason === undefined) describe(name, body);
  else describe.skip(`${name} [skipped: ${reason}]`, body);
}
