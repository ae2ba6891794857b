import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { neverSent } from "../../../../common/never-sent.ts";
import { readContent, sizeText } from "../../../../infra/deploy/content.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vl-content-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(files: Record<string, string>, at = root): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(at, path)), { recursive: true });
    writeFileSync(join(at, path), text);
  }
}
const paths = (sync = ["."]) => readContent(root, sync).files.map((file) => file.path);

test("the hash is the same in another folder, at another time, written in another order", () => {
  const other = mkdtempSync(join(tmpdir(), "vl-content-"));
  try {
    write({ "a.py": "1", "b/c.py": "2" });
    write({ "b/c.py": "2", "a.py": "1" }, other);
    utimesSync(join(other, "a.py"), 1, 1);
    chmodSync(join(other, "a.py"), 0o600);
    expect(readContent(other, ["."]).hash).toBe(readContent(root, ["."]).hash);
  } finally {
    rmSync(other, { recursive: true, force: true });
  }
});

test.each<[string, () => void]>([
  ["a byte", () => write({ "a.py": "2" })],
  ["a name", () => write({ "new.py": "" })],
  ["an executable bit", () => chmodSync(join(root, "a.py"), 0o755)],
  [
    "a link in place of a file",
    () => {
      rmSync(join(root, "a.py"));
      symlinkSync("b.py", join(root, "a.py"));
    },
  ],
])("the hash changes with %s", (_, change) => {
  write({ "a.py": "1", "b.py": "" });
  const before = readContent(root, ["."]).hash;
  change();
  expect(readContent(root, ["."]).hash).not.toBe(before);
});

test("the hash is a known one for a known tree, so that computers agree", () => {
  write({ "a.py": "print(1)\n", "sub/b.sh": "#!/bin/sh\n" });
  chmodSync(join(root, "sub/b.sh"), 0o755);
  expect(readContent(root, ["."]).hash).toBe("eeca40103817a72ae7be255253f45f469caa4a165ac46b7cff0567f25092bd84");
});

test("ignore files hold at every level, and .vastlaneignore on top of .gitignore", () => {
  write({
    ".gitignore": "*.log\n/out/\n",
    "sub/.gitignore": "!keep.log\n",
    ".vastlaneignore": "docs/\n",
    "a.log": "",
    "sub/keep.log": "",
    "out/x": "",
    "docs/y": "",
    "train.py": "",
  });
  expect(paths()).toEqual([".gitignore", ".vastlaneignore", "sub/.gitignore", "sub/keep.log", "train.py"]);
});

test("keys, passwords and environment files stay here, and are named", () => {
  write({
    ".env": "",
    ".env.local": "",
    "deploy.pem": "",
    id_ed25519: "",
    "id_ed25519.pub": "",
    "notes.txt": "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    ".npmrc": "//host/:_authToken=x\n",
    "Pulumi.dev.yaml": "",
    "node_modules/x/index.js": "",
    ".vastlane/state": "",
    "train.py": "",
  });
  const content = readContent(root, ["."]);
  expect(content.files.map((file) => file.path)).toEqual(["id_ed25519.pub", "train.py"]);
  expect(content.leftOut.map((left) => left.path).sort()).toEqual(
    [".env", ".env.local", ".npmrc", "deploy.pem", "id_ed25519", "notes.txt"].sort(),
  );
});

test.each([
  ["src/.env", "secret"],
  [".ssh/config", "secret"],
  ["id_rsa_work", "secret"],
  ["id_rsa_work.pub", undefined],
  ["a/.git/config", "silent"],
  ["Pulumi.prod.yaml", "silent"],
  ["Pulumi.yaml", undefined],
  ["environment.ts", undefined],
  ["keys.ts", undefined],
])("%s is %s", (path, verdict) => {
  expect(neverSent(path)).toBe(verdict);
});

test("links inside the project are kept as links; those that lead out are left out and named", () => {
  write({ "a.py": "1", "sub/x": "" });
  symlinkSync("../a.py", join(root, "sub/in"));
  symlinkSync("/etc/passwd", join(root, "out1"));
  symlinkSync("../../x", join(root, "sub/out2"));
  const content = readContent(root, ["."]);
  expect(content.files.find((file) => file.path === "sub/in")?.link).toBe("../a.py");
  expect(content.leftOut.map((left) => left.path)).toEqual(["out1", "sub/out2"]);
});

test("sync can name folders and files, each sent once", () => {
  write({ "a.py": "", "b.py": "", "src/c.py": "", "other/d.py": "" });
  expect(paths(["src", "a.py", "src/c.py"])).toEqual(["a.py", "src/c.py"]);
});

test.each([
  ["../elsewhere", "lies outside the project"],
  ["missing", "is not there"],
])("a sync entry %s is refused", (entry, why) => {
  expect(() => readContent(root, [entry])).toThrow(
    expect.objectContaining({ code: "VL_BAD_CONFIG", what: expect.stringContaining(why) }),
  );
});

test("far too much to send is refused before anything is read, and the largest entries are named", () => {
  write({ "data/a.bin": "x".repeat(3000), "data/b.bin": "x".repeat(2000), "train.py": "x" });
  expect(() => readContent(root, ["."], { bytes: 1000, files: 10 })).toThrow(
    `VL_DEPLOY_FAILED: the project has 3 files of 5.0 kB to send; the limit is 10 files of 1.0 kB
  why: the largest are
       data/  5.0 kB in 2 files
       train.py  1 B in 1 file
  do:  put what the machine does not need into .vastlaneignore; stage data with vastlane:workspace.data`,
  );
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [123_456, "123 kB"],
  [9_960_000, "10 MB"],
  [2e9, "2.0 GB"],
])("%i bytes read as %s", (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});
