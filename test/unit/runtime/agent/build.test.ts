import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { buildAgent, buildModules } from "../../../../runtime/agent/build.ts";

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), "vastlane-build-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  return dir;
}

test("builds the same bundle each time, which needs nothing but Node and knows no path of this machine", async () => {
  const [first, second] = await Promise.all([buildAgent(temporary()), buildAgent(temporary())]);
  expect(second.sha256).toBe(first.sha256);
  expect(first.code.length).toBeLessThan(1_100_000); // the store's client, mostly
  expect(first.code).not.toContain(process.cwd());
  const imported = [...first.code.matchAll(/from "([^"]+)"/g)].map((match) => match[1]);
  expect(imported.filter((name) => !name?.startsWith("node:"))).toEqual([]);
});

test("builds each public module; only that of checkpoints brings the store's client", async () => {
  const modules = await buildModules(temporary());
  expect(Object.keys(modules)).toEqual(["checkpoint", "experiment", "trainer"]);
  const { checkpoint, experiment, trainer } = modules;
  expect(checkpoint?.code.length).toBeLessThan(1_100_000);
  expect(experiment?.code.length).toBeLessThan(30_000);
  expect(trainer?.code.length).toBeLessThan(200_000);
  for (const { code } of Object.values(modules)) expect(code).not.toContain(process.cwd());
});

test("keeps the build while nothing changes, and mends a damaged one", async () => {
  const dir = temporary();
  const { path, sha256 } = await buildAgent(dir);
  const built = statSync(path).mtimeMs;
  await buildAgent(dir);
  expect(statSync(path).mtimeMs).toBe(built);
  writeFileSync(path, "damaged");
  expect((await buildAgent(dir)).sha256).toBe(sha256);
});
