import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  includeLine,
  installInclude,
  mayTouchHome,
  registerHost,
  removeInclude,
  unregisterHost,
} from "../../../../infra/ssh/config-file.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "vl-home-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const config = () => join(home, ".ssh", "config");
const backup = () => join(home, ".ssh", "config.before-vastlane");
const entry = {
  host: "vastlane-dev",
  user: "root",
  localForward: [],
  serverAliveInterval: 15,
  identityFile: null,
  cli: ["/usr/bin/node", "/p/bin/vastlane.mjs"],
};

function writeConfig(text: string, mode = 0o600): void {
  mkdirSync(join(home, ".ssh"), { recursive: true });
  writeFileSync(config(), text, { mode });
}

test("with no ~/.ssh at all, install makes private files and remove takes them away", () => {
  expect(installInclude(home)).toBe(true);
  expect(readFileSync(config(), "utf8")).toBe(`${includeLine(home)}\n`);
  expect(statSync(config()).mode & 0o777).toBe(0o600);
  expect(statSync(join(home, ".ssh")).mode & 0o777).toBe(0o700);
  expect(removeInclude(home)).toBe(true);
  expect(existsSync(config())).toBe(false);
});

test("an existing file is backed up, keeps its mode, and comes back byte for byte", () => {
  writeConfig("Host a\r\n  User b", 0o640);
  chmodSync(config(), 0o640);
  installInclude(home);
  expect(readFileSync(backup(), "utf8")).toBe("Host a\r\n  User b");
  expect(statSync(config()).mode & 0o777).toBe(0o640);
  removeInclude(home);
  expect(readFileSync(config(), "utf8")).toBe("Host a\r\n  User b");
  expect(existsSync(backup())).toBe(false);
});

test("an empty file stays there as an empty file", () => {
  writeConfig("");
  installInclude(home);
  removeInclude(home);
  expect(readFileSync(config(), "utf8")).toBe("");
});

test("the second install and the second remove change nothing", () => {
  expect([installInclude(home), installInclude(home)]).toEqual([true, false]);
  expect([removeInclude(home), removeInclude(home)]).toEqual([true, false]);
});

test("what somebody added meanwhile is kept, and so is the backup of the older text", () => {
  writeConfig("Host a\n");
  installInclude(home);
  writeFileSync(config(), `${readFileSync(config(), "utf8")}Host new\n`);
  removeInclude(home);
  expect(readFileSync(config(), "utf8")).toBe("Host a\nHost new\n");
  expect(readFileSync(backup(), "utf8")).toBe("Host a\n");
});

test("a config that is a link into a dotfiles folder stays a link", () => {
  const real = join(home, "dotfiles-ssh-config");
  writeFileSync(real, "Host a\n", { mode: 0o600 });
  mkdirSync(join(home, ".ssh"));
  symlinkSync("../dotfiles-ssh-config", config());
  installInclude(home);
  expect(lstatSync(config()).isSymbolicLink()).toBe(true);
  expect(readFileSync(real, "utf8")).toBe(`${includeLine(home)}\nHost a\n`);
  removeInclude(home);
  expect(lstatSync(config()).isSymbolicLink()).toBe(true);
  expect(readFileSync(real, "utf8")).toBe("Host a\n");
});

test("registering a host writes its entry in project and home, and unregistering removes both", () => {
  const stateDir = join(home, "project", ".vastlane");
  const registered = registerHost(entry, { stateDir, home });
  const files = [registered.configFile, join(home, ".vastlane", "ssh.d", "vastlane-dev.conf")];
  for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(registered.included).toBe(true);
  expect(readFileSync(config(), "utf8")).toBe(`${includeLine(home)}\n`);
  unregisterHost("vastlane-dev", { stateDir, home });
  for (const file of files) expect(existsSync(file)).toBe(false);
});

test("without leave to touch the home, only the project's file is written", () => {
  const registered = registerHost(entry, { stateDir: join(home, ".vastlane-project"), home: null });
  expect(registered).toMatchObject({ included: false, note: null });
  expect(existsSync(join(home, ".ssh"))).toBe(false);
});

test("a home that cannot be written is a note with the line to add by hand, not an error", () => {
  writeFileSync(join(home, ".ssh"), "a file where the folder should be");
  const registered = registerHost(entry, { stateDir: join(home, "p"), home });
  expect(registered.included).toBe(false);
  expect(registered.note).toContain(includeLine(home));
});

test.each([
  [{}, true],
  [{ CI: "" }, true],
  [{ CI: "false" }, true],
  [{ CI: "true" }, false],
  [{ CI: "1" }, false],
])("with %o a home may be touched: %s", (env, may) => {
  expect(mayTouchHome(env)).toBe(may);
});
