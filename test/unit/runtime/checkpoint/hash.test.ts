import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { followHash, hashFile } from "../../../../runtime/checkpoint/hash.ts";
import { sha256 } from "../../../helpers/checkpoint-folders.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-hash-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const MiB = 1 << 20;
const bytes = Buffer.alloc(9 * MiB + 5, "vastlane");

test.each([0, 1, MiB, 9 * MiB + 5])("a file of %i bytes", async (size) => {
  const path = join(dir, "file");
  writeFileSync(path, bytes.subarray(0, size));
  expect(await hashFile(path)).toBe(sha256(bytes.subarray(0, size)));
});

test("a file is followed while it grows, and under its new name", async () => {
  const partial = join(dir, "file.partial");
  const hash = followHash();
  writeFileSync(partial, bytes.subarray(0, 8 * MiB));
  hash.arrived(partial, 8 * MiB);
  appendFileSync(partial, bytes.subarray(8 * MiB));
  renameSync(partial, join(dir, "file"));
  expect(await hash.finish(join(dir, "file"))).toBe(sha256(bytes));
});

test("what is not wanted any more is stopped, also before it began", async () => {
  const hash = followHash();
  hash.stop();
  writeFileSync(join(dir, "file"), bytes);
  hash.arrived(join(dir, "file"), bytes.length);
  hash.stop();
});

test("a file that is not there is an error", async () => {
  await expect(hashFile(join(dir, "none"))).rejects.toMatchObject({ code: "ENOENT" });
});
