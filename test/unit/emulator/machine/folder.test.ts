import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  deleteLeftovers,
  deleteMachineFolder,
  knownMachines,
  machineFolder,
  placeFile,
  placeFolder,
} from "../../../../emulator/machine/folder.ts";
import { prepareVastFiles } from "../../../../emulator/machine/image.ts";

let home: string;
let disk: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "vastlane-folder-"));
  disk = machineFolder(home, 7).disk;
  mkdirSync(disk, { recursive: true });
});

afterEach(() => rmSync(home, { recursive: true, force: true }));

const mode = (path: string) => (lstatSync(join(disk, path)).mode & 0o7777).toString(8);

test("places files with their mode, whatever the umask, and replaces them whole", () => {
  const before = process.umask(0o077);
  placeFile(disk, "root/.ssh/authorized_keys", "one\n", 0o600);
  placeFile(disk, "etc/motd", "hello\n");
  placeFile(disk, "etc/motd", "bye\n");
  process.umask(before);
  expect([mode("root/.ssh/authorized_keys"), mode("etc/motd"), mode("etc")]).toEqual(["600", "644", "755"]);
  expect(readFileSync(join(disk, "etc/motd"), "utf8")).toBe("bye\n");
});

test("follows no link that a machine has put into its disk", () => {
  const outside = join(home, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "authorized_keys"), "mine\n");
  placeFolder(disk, "root");
  symlinkSync(outside, join(disk, "root/.ssh"));
  placeFile(disk, "root/.ssh/authorized_keys", "theirs\n", 0o600);
  symlinkSync(join(outside, "authorized_keys"), join(disk, "onstart"));
  placeFile(disk, "onstart", "theirs\n");
  expect(readFileSync(join(outside, "authorized_keys"), "utf8")).toBe("mine\n");
  expect(lstatSync(join(disk, "root/.ssh")).isDirectory()).toBe(true);
  expect(lstatSync(join(disk, "onstart")).isFile()).toBe(true);
});

test("puts a folder where a file lies, and a file where a folder lies", () => {
  placeFile(disk, "opt", "a file\n");
  placeFile(disk, "opt/tool", "x\n");
  placeFolder(disk, "root/onstart.sh/deep");
  placeFile(disk, "root/onstart.sh", "true\n");
  expect(readFileSync(join(disk, "root/onstart.sh"), "utf8")).toBe("true\n");
  expect(readFileSync(join(disk, "opt/tool"), "utf8")).toBe("x\n");
});

test("keeps an onstart script that was edited on the machine until the contract's own text changes", () => {
  const spec = {
    contractId: 7,
    hostname: "C.7",
    gpus: { name: "RTX 3090", count: 1, ramMB: 24576, maxPowerW: 350, driver: "550", cuda: "12.4" },
    diskGB: 10,
    env: { CONTAINER_API_KEY: "key" },
    onstart: "echo first\n",
    authorizedKeys: ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two\n"],
    forwards: [],
  };
  const script = () => readFileSync(join(disk, "root/onstart.sh"), "utf8");
  prepareVastFiles(disk, spec);
  expect(script()).toBe("echo first\n");
  writeFileSync(join(disk, "root/onstart.sh"), "echo edited\n");
  prepareVastFiles(disk, spec);
  expect(script()).toBe("echo edited\n");
  prepareVastFiles(disk, { ...spec, onstart: "echo second\n" });
  expect(script()).toBe("echo second\n");
  expect(readFileSync(join(disk, "root/.ssh/authorized_keys"), "utf8")).toBe(
    "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n",
  );
  expect([mode("root"), mode("root/.ssh"), mode("root/.vast_api_key")]).toEqual(["700", "700", "600"]);
});

test("deletes a machine's folder, also one whose deletion was cut off, and knows the others", async () => {
  mkdirSync(machineFolder(home, 12).disk, { recursive: true });
  mkdirSync(join(home, "machines/.removed-9-1-1/disk"), { recursive: true });
  expect(knownMachines(home).sort()).toEqual([12, 7]);
  await deleteMachineFolder(home, 12);
  await deleteMachineFolder(home, 12);
  await deleteLeftovers(home);
  expect(knownMachines(home)).toEqual([7]);
  expect(existsSync(join(home, "machines/.removed-9-1-1"))).toBe(false);
});
