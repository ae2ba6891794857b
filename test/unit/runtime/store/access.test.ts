import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readStoreAccess } from "../../../../runtime/store/access.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-access-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const access = {
  endpoint: null,
  region: "us-east-1",
  bucket: "runs",
  prefix: "dev/run",
  accessKeyId: "key",
  secretAccessKey: "secret",
  sessionToken: null,
  pathStyle: false,
};

test("a run without a store has no such file", () => {
  expect(readStoreAccess(join(dir, "store.json"))).toBeUndefined();
});

test("what deploy wrote is read", () => {
  const path = join(dir, "store.json");
  writeFileSync(path, JSON.stringify(access));
  expect(readStoreAccess(path)).toEqual(access);
});

test.each([
  ["{", "it is not JSON."],
  ["null", "it has no bucket, prefix, accessKeyId, secretAccessKey."],
  [JSON.stringify({ ...access, bucket: "", secretAccessKey: 7 }), "it has no bucket, secretAccessKey."],
])("%s is said to be spoiled", (text, why) => {
  const path = join(dir, "store.json");
  writeFileSync(path, text);
  expect(() => readStoreAccess(path)).toThrow(
    `VL_STORE_NO_KEY: ${path} does not say how to reach the store.\n  why: ${why}\n  do:  deploy again: vastlane up`,
  );
});
