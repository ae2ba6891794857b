/** Our reading of ignore files against git's own, on random trees: no table of ours would be as thorough. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { listFiles } from "../../infra/deploy/list-files.ts";

const name = fc.constantFrom("a", "b", "ab", "a.b", "!a", "#b", "a b", "[a]", "b*");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const piece = fc.constantFrom("a", "b", "*", "**", "?", "/", "[a-b]", "[!a]", "\\", ".", "!", "#", " ", "ab", "]", "-");
const line = fc.oneof(
  fc.array(piece, { maxLength: 5 }).map((parts) => parts.join("")),
  path,
  path.map((p) => `!${p}`),
);
const ignoreFile = fc.array(line, { maxLength: 4 }).map((lines) => lines.join("\n"));

test("a folder without git is listed just as git would list it", () => {
  fc.assert(
    fc.property(fc.uniqueArray(path, { minLength: 1, maxLength: 8 }), ignoreFile, ignoreFile, (paths, top, inner) => {
      const folder = mkdtempSync(join(tmpdir(), "vl-ignore-"));
      try {
        for (const each of paths) write(join(folder, each));
        write(join(folder, ".gitignore"), top);
        write(join(folder, "a", ".gitignore"), inner);
        const walked = listFiles(folder, ["."]).paths;
        execFileSync("git", ["init", "-q"], { cwd: folder });
        expect(walked).toEqual(listFiles(folder, ["."]).paths);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }),
    { numRuns: 100 },
  );
});

test("in a repository, tracked files count though a rule ignores them, and deleted ones do not", () => {
  const folder = mkdtempSync(join(tmpdir(), "vl-ignore-"));
  try {
    const git = (...args: string[]) => execFileSync("git", args, { cwd: folder });
    for (const each of ["kept.log", "other.log", "gone.py", "new.py", "nested/x.py"]) write(join(folder, each));
    write(join(folder, ".gitignore"), "*.log\n");
    git("init", "-q");
    git("add", "-f", "kept.log", "gone.py", ".gitignore");
    rmSync(join(folder, "gone.py"));
    execFileSync("git", ["init", "-q"], { cwd: join(folder, "nested") });
    expect(listFiles(folder, ["."]).paths).toEqual([".gitignore", "kept.log", "nested/x.py", "new.py"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A file, unless the tree has a folder or file of that name in the way. */
function write(file: string, text = ""): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } catch (error) {
    if (!["EEXIST", "ENOTDIR", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
