import { expect, test } from "vitest";
import { ignoreRules } from "../../../common/ignore-rules.ts";

/** What of `paths` is left by the rules; a path ending in a slash is a folder. */
function left(files: Record<string, string>, paths: string[]): string[] {
  const isIgnored = ignoreRules((folder) => files[folder]);
  return paths.filter((path) => !isIgnored(path.replace(/\/$/, ""), path.endsWith("/")));
}

test.each<[string, string, string[], string[]]>([
  ["a name matches at every depth", "*.log", ["a.log", "x/b.log", "c.txt"], ["c.txt"]],
  ["a leading slash ties it to the top", "/out", ["out", "x/out"], ["x/out"]],
  ["a slash inside ties it as well", "doc/a.txt", ["doc/a.txt", "x/doc/a.txt"], ["x/doc/a.txt"]],
  ["a trailing slash means folders only", "build/", ["build/", "x/build/", "y/build"], ["y/build"]],
  ["what lies in an ignored folder is ignored and cannot come back", "d/\n!d/keep", ["d/keep", "d/x"], []],
  ["a later line wins", "*.txt\n!keep.txt", ["a.txt", "keep.txt"], ["keep.txt"]],
  ["two stars in front", "**/foo", ["foo", "a/b/foo"], []],
  ["two stars at the end", "abc/**", ["abc/", "abc/x", "abc/y/z"], ["abc/"]],
  ["two stars in the middle", "a/**/b", ["a/b", "a/x/y/b", "ab"], ["ab"]],
  ["one star stays within a folder", "a/*/c", ["a/b/c", "a/b/b/c"], ["a/b/b/c"]],
  ["classes", "[a-c]x\n[!z]y", ["ax", "dx", "zy", "ay"], ["dx", "zy"]],
  ["comments, escapes and blanks at the end", "# c\n\\#x\n\\!y\nz  \n", ["#x", "!y", "z", "c"], ["c"]],
  ["Windows line ends", "a\r\nb\r\n", ["a", "b", "c"], ["c"]],
])("%s", (_, text, paths, expected) => {
  expect(left({ "": text }, paths)).toEqual(expected);
});

test("a nearer file overrules a farther one", () => {
  const files = { "": "*.bin", models: "!small.bin" };
  expect(left(files, ["models/small.bin", "models/big.bin", "small.bin"])).toEqual(["models/small.bin"]);
});
