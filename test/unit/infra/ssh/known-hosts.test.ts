import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseKnownHosts, readPin, removePin, renderKnownHosts, writePin } from "../../../../infra/ssh/known-hosts.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "vl-pins-"));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

test("a pin is read back as it was written, and null once removed", () => {
  expect(readPin(stateDir, 5)).toBeNull();
  writePin(stateDir, 5, ["ssh-ed25519 AAAA"]);
  expect(readPin(stateDir, 5)).toEqual(["ssh-ed25519 AAAA"]);
  expect(readPin(stateDir, 6)).toBeNull();
  removePin(stateDir, 5);
  expect(readPin(stateDir, 5)).toBeNull();
});

test.each([
  ["other names are passed over", "other ssh-ed25519 AAAA\n", []],
  ["comments and markers are passed over", "# h ssh-ed25519 AAAA\n@revoked h ssh-ed25519 AAAA\n", []],
  ["a cut line is passed over", "h ssh-ed25519", []],
  ["one of several names on a line counts", "a,h,b ssh-rsa BBBB comment", ["ssh-rsa BBBB"]],
  ["ed25519 comes first", "h ssh-rsa BBBB\r\nh ssh-ed25519 AAAA\r\n", ["ssh-ed25519 AAAA", "ssh-rsa BBBB"]],
  ["a key given twice is kept once", "h ssh-rsa B\nh ssh-rsa B\n", ["ssh-rsa B"]],
])("%s", (_, text, keys) => {
  expect(parseKnownHosts(text, "h")).toEqual(keys);
});

test("what is rendered is parsed to the same keys", () => {
  const key = fc.tuple(fc.constantFrom("ssh-ed25519", "ssh-rsa"), fc.stringMatching(/^[A-Za-z0-9+/]{4,40}$/));
  fc.assert(
    fc.property(fc.uniqueArray(key.map((parts) => parts.join(" "))), (keys) => {
      expect(new Set(parseKnownHosts(renderKnownHosts("h", keys), "h"))).toEqual(new Set(keys));
    }),
  );
});
