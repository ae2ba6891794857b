import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkStores } from "../../../../cli/doctor/store-check.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-stores-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const stack = (name: string, ...lines: string[]) =>
  writeFileSync(join(root, `Pulumi.${name}.yaml`), ["config:", ...lines.map((it) => `  vastlane:${it}`)].join("\n"));
const STORE = (endpoint = "null") => `checkpoint: { store: s3, s3_bucket: my-bucket, endpoint: ${endpoint} }`;
const check = (env: Record<string, string> = {}) => checkStores({ env, root });

test("stacks without a store are fine", async () => {
  stack("dev", "market: vast");
  expect(await check()).toEqual({
    state: "ok",
    detail: "no stack has one: checkpoints stay on the machines' disks",
  });
});

test("an emulator that does not run is a warning, with what to do", async () => {
  stack("local", "market: emulator", STORE());
  expect(await check({ VASTLANE_EMULATOR_HOME: root })).toEqual({
    state: "warn",
    detail: "local: this stack uses the emulated market, and no emulator is running",
    fix: "local: start it with `npx vastlane emulator start`, then run the command again",
  });
});

test("a store that does not answer is a warning, and the worst of all stacks counts", async () => {
  stack("dev", STORE('"http://127.0.0.1:9"'));
  stack("prod", "market: vast");
  const { state, detail } = await check({ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" });
  expect(state).toBe("warn");
  expect(detail).toBe("dev: The store at http://127.0.0.1:9 cannot be reached or does not answer as it should.");
});

test("a file that is wrong is a failure", async () => {
  stack("dev", "checkpoint: { store: s3 }");
  expect(await check()).toMatchObject({ state: "fail", detail: "dev: Pulumi.dev.yaml has a problem:" });
});
