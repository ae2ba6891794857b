import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseConfig } from "../../../../infra/config.ts";
import { localPath, portablePath } from "../../../../infra/deploy/local-path.ts";
import { deploySpec, ofGeneration, onDoneOf, requestFor } from "../../../../infra/deploy/spec.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vl-spec-"));
  writeFileSync(join(root, "train.py"), "");
  writeFileSync(join(root, "agent.mjs"), "agent");
  writeFileSync(join(root, "experiment.mjs"), "experiment");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const spec = (config: Record<string, unknown> = {}, at = root) =>
  deploySpec({
    root: at,
    config: parseConfig({ experiment: { command: ["python", "train.py"] }, ...config }),
    runId: "dev/main",
    identityFile: join(at, ".vastlane/id"),
    bundles: { agent: join(at, "agent.mjs"), modules: { experiment: join(at, "experiment.mjs") } },
  });

test("a copy of the project elsewhere gives the same request and the same hash", () => {
  const copy = `${root}-copy`;
  try {
    cpSync(root, copy, { recursive: true });
    expect(spec({}, copy)).toEqual(spec());
    expect(JSON.stringify(spec())).not.toContain(root);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});

test.each<[string, () => void, Record<string, unknown>]>([
  ["a project file", () => writeFileSync(join(root, "train.py"), "x"), {}],
  ["the agent", () => writeFileSync(join(root, "agent.mjs"), "new"), {}],
  ["a public module", () => writeFileSync(join(root, "experiment.mjs"), "new"), {}],
  ["the command", () => {}, { experiment: { command: ["python", "other.py"] } }],
  ["the setup script", () => {}, { workspace: { setup: "echo hi" } }],
])("the hash changes with %s", (_, change, config) => {
  const before = spec().contentHash;
  change();
  expect(spec(config).contentHash).not.toBe(before);
});

test("a price cap is no reason to deploy again", () => {
  expect(spec({ rental: { maxPricePerHour: 2 } })).toEqual(spec());
});

test("the request for a machine carries where it is and which contract pays", () => {
  const machine = { contractId: 9, user: "root", addresses: [], hostKeys: ["ssh-ed25519 A"] };
  const request = requestFor(spec({ budget: { maxHours: 24, maxUsd: 10 } }), machine, 2, "main");
  expect(request.target).toEqual({ ...machine, identityFile: ".vastlane/id" });
  expect(request.run.contractId).toBe(9);
  expect(request.run.runId).toBe("dev/main");
  expect(requestFor(spec(), machine, 2, "node1").run.runId).toBe("dev/main.node1");
  expect(request.run.maxHours).toBe(5); // what 10 USD pay at this price
});

test.each([
  ["/p/a/b", "a/b"],
  [join(homedir(), ".ssh/id"), "~/.ssh/id"],
  ["/elsewhere/id", "/elsewhere/id"],
  ["~/x", "~/x"],
])("the path %s is kept as %s and found again", (path, kept) => {
  expect(portablePath(path, "/p")).toBe(kept);
  expect(localPath(kept, "/p")).toBe(path.replace(/^~/, homedir()));
});

const STORE = { checkpoint: { store: "s3", s3_bucket: "my-bucket" } };

test("another store is another deploy, and its keys are no part of the request", () => {
  const other = spec(STORE);
  expect(other.contentHash).not.toBe(spec().contentHash);
  expect(other.request.store).toEqual({
    market: "vast",
    checkpoint: { store: "s3", s3_bucket: "my-bucket", s3_prefix: "checkpoints", endpoint: null, region: null },
  });
  expect(spec().request.store).toBeNull();
});

test("a run that begins anew is deployed again, once", () => {
  const first = spec(STORE);
  const anew = ofGeneration(first, 1);
  expect(anew.contentHash).not.toBe(first.contentHash);
  expect(anew.request.run.generation).toBe(1);
  expect(ofGeneration(first, 1)).toEqual(anew);
  expect(ofGeneration(first, 0)).toBe(first);
});

test.each<[string, Record<string, unknown>, "stop" | "destroy"]>([
  ["a run with a store", STORE, "destroy"],
  ["a run whose only copy is its disk", {}, "stop"],
  ["a dev box", { ...STORE, experiment: { command: null } }, "stop"],
  ["what the configuration says", { budget: { onDone: "destroy" } }, "destroy"],
])("at its end the machine does what loses nothing: %s", (_, config, onDone) => {
  expect(onDoneOf(parseConfig({ experiment: { command: ["x"] }, ...config }))).toBe(onDone);
});
