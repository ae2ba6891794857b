import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { followSums, sumFile } from "../../../../runtime/checkpoint/sums.ts";
import { crc32, crcText } from "../../../../runtime/store/index.ts";
import { sha256 } from "../../../helpers/checkpoint-folders.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-hash-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const MiB = 1 << 20;
const sumsOf = (content: Buffer) => ({ sha256: sha256(content), crc32: crcText(crc32?.(content) ?? 0) });
const bytes = Buffer.alloc(9 * MiB + 5, "vastlane");

test.each([0, 1, MiB, 9 * MiB + 5])("a file of %i bytes", async (size) => {
  const path = join(dir, "file");
  writeFileSync(path, bytes.subarray(0, size));
  expect(await sumFile(path)).toEqual(sumsOf(bytes.subarray(0, size)));
});

test("a file is followed while it grows, and under its new name", async () => {
  const partial = join(dir, "file.partial");
  const hash = followSums();
  writeFileSync(partial, bytes.subarray(0, 8 * MiB));
  hash.arrived(partial, 8 * MiB);
  appendFileSync(partial, bytes.subarray(8 * MiB));
  renameSync(partial, join(dir, "file"));
  expect(await hash.finish(join(dir, "file"))).toEqual(sumsOf(bytes));
});

test("what is not wanted any more is stopped, also before it began", async () => {
  const hash = followSums();
  hash.stop();
  writeFileSync(join(dir, "file"), bytes);
  hash.arrived(join(dir, "file"), bytes.length);
  hash.stop();
});

test("a file that is not there is an error", async () => {
  await expect(sumFile(join(dir, "none"))).rejects.toMatchObject({ code: "ENOENT" });
});
