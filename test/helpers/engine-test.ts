/**
 * `test` for what needs the real Pulumi engine: skipped, and counted as skipped, on a computer where none can be had;
 * in CI it runs, and fails there.
 */
import { test } from "vitest";
import { resolveEngine } from "../../cli/engine.ts";

const isThere = await resolveEngine().then(
  () => true,
  () => false,
);

export const engineTest = test.skipIf(!isThere && !process.env.CI);
