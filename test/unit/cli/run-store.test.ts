import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openRunStore } from "../../../cli/run-store.ts";
import { testIo } from "../../helpers/io.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-run-store-"));
  writeFileSync(join(root, "Pulumi.yaml"), "name: test\nruntime: nodejs\n");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function open(checkpoint: string, run?: string) {
  const experiment = "  vastlane:experiment: { command: [python, train.py] }\n";
  writeFileSync(join(root, "Pulumi.dev.yaml"), `config:\n  vastlane:checkpoint: ${checkpoint}\n${experiment}`);
  writeFileSync(join(root, ".env"), "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=secret\n");
  return openRunStore("dev", run, testIo({ cwd: root, env: {} }));
}

test("the run that the configuration names is opened, below the stack's prefix", () => {
  const run = open("{ store: s3, s3_bucket: mine, s3_prefix: a/b, endpoint: 'http://127.0.0.1:9000' }");
  expect([run.runId, run.store.name]).toEqual(["dev/train", "s3://mine/a/b/dev/train"]);
  run.close();
});

test("another run of the same store is opened by its id", () => {
  const run = open("{ store: s3, s3_bucket: mine, s3_prefix: a/b, endpoint: 'http://127.0.0.1:9000' }", "prod/other");
  expect([run.runId, run.store.name]).toEqual(["prod/other", "s3://mine/a/b/prod/other"]);
  run.close();
});

test("a stack without a store is said to have none", () => {
  expect(() => open("{ store: none }")).toThrow(
    "VL_NOT_FOUND: stack dev keeps no checkpoints in a store\n  why: Pulumi.dev.yaml has vastlane:checkpoint.store none\n  do:  set checkpoint.store to s3 or aws, then: vastlane up",
  );
});
