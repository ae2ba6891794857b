import { expect, test } from "vitest";
import { findProgram, toolMissing } from "../../../../emulator/machine/tools.ts";

test("says which package brings a missing sshd", () => {
  expect(toolMissing("sshd", "linux").message).toBe(
    `VL_TOOL_MISSING: The program sshd is not installed.
  why: The emulated market needs it: the emulated machines are reached through it.
  do:  apt-get install openssh-server (as root), or the package of that name of your system`,
  );
  expect(toolMissing("sshd", "darwin").hint).toBe("brew install openssh");
});

test("says which package brings a missing bwrap", () => {
  expect(toolMissing("bwrap", "linux").message).toBe(
    `VL_TOOL_MISSING: The program bwrap is not installed.
  why: The emulated market needs it: it keeps the emulated machines apart from this computer.
  do:  apt-get install bubblewrap (as root), or the package of that name of your system`,
  );
});

test("finds programs beyond a bare PATH, and not those that are nowhere", () => {
  expect(findProgram("sh", "")).toMatch(/\/bin\/sh$/);
  expect(findProgram("no-such-program-anywhere", "/usr/bin")).toBeUndefined();
});
