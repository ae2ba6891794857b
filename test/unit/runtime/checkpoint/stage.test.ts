import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { releaseOthers, stageFolder } from "../../../../runtime/checkpoint/stage.ts";
import { ourFolder, plainFolder } from "../../../helpers/checkpoint-folders.ts";

let dir: string;
let outgoing: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-stage-"));
  outgoing = join(dir, "outgoing");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("files are held by links, under numbers, without manifest and sums", () => {
  const folder = ourFolder(dir, 200, { "a.bin": "A", "sub/b.bin": "BB" });
  const { files, release } = stageFolder(folder, outgoing);
  expect(files.map(({ path, bytes }) => ({ path, bytes }))).toEqual([
    { path: "a.bin", bytes: 1 },
    { path: "sub/b.bin", bytes: 2 },
  ]);
  expect(statSync(files[0]?.file ?? "").ino).toBe(statSync(join(folder, "a.bin")).ino);
  rmSync(folder, { recursive: true });
  expect(readFileSync(files[1]?.file ?? "", "utf8")).toBe("BB");
  release();
  expect(readdirSync(outgoing)).toEqual([]);
});

test("held again, the notes of an upload stay with files that are the same", () => {
  const folder = plainFolder(dir, "step-1", { a: "A", b: "B" });
  const [first, second] = stageFolder(folder, outgoing).files.map(({ file }) => file) as [string, string];
  for (const file of [first, second]) writeFileSync(`${file}.upload`, "notes");
  rmSync(join(folder, "b"));
  writeFileSync(join(folder, "b"), "C");
  const again = stageFolder(folder, outgoing).files;
  expect(existsSync(`${first}.upload`)).toBe(true);
  expect(again[0]?.file).toBe(first);
  expect(existsSync(`${second}.upload`)).toBe(false);
  expect(readFileSync(again[1]?.file ?? "", "utf8")).toBe("C");
});

test("what is no longer a file of the checkpoint is let go", () => {
  const folder = plainFolder(dir, "step-1", { a: "A", b: "B" });
  stageFolder(folder, outgoing);
  rmSync(join(folder, "b"));
  expect(stageFolder(folder, outgoing).files).toHaveLength(1);
  expect(readdirSync(join(outgoing, "step-1"))).toEqual([expect.stringMatching(/^000000-/)]);
});

test("only the named ones stay held", () => {
  for (const name of ["step-1", "step-2"]) stageFolder(plainFolder(dir, name, { a: name }), outgoing);
  releaseOthers(outgoing, ["step-2"]);
  expect(readdirSync(outgoing)).toEqual(["step-2"]);
  releaseOthers(join(dir, "nowhere"), []);
});
