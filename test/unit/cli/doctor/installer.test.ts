import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { findInstaller } from "../../../../cli/doctor/installer.ts";

test.each([
  ["npm", "node_modules/.package-lock.json"],
  ["pnpm", "node_modules/.modules.yaml"],
  ["yarn", "node_modules/.yarn-state.yml"],
  ["yarn", ".pnp.cjs"],
  ["bun", "bun.lock"],
  ["unknown", "README.md"],
])("%s is known by %s", (installer, trace) => {
  const root = mkdtempSync(join(tmpdir(), "vastlane-installer-"));
  try {
    mkdirSync(dirname(join(root, trace)), { recursive: true });
    writeFileSync(join(root, trace), "");
    expect(findInstaller(root, {}, {})).toBe(installer);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("bun is known when it runs us, whoever made node_modules", () => {
  expect(findInstaller("/nowhere", {}, { bun: "1.2.0" })).toBe("bun");
  expect(findInstaller("/nowhere", { npm_config_user_agent: "bun/1.2.0 npm/? node/v24" }, {})).toBe("bun");
});
