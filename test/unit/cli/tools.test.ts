import { expect, test } from "vitest";
import { installCommand, TOOLS, toolsMissing } from "../../../cli/tools.ts";

const tools = (...names: string[]) => TOOLS.filter((tool) => names.includes(tool.program));

test.each([
  ["apt", ["ssh", "ssh-keygen", "sshd", "bwrap"], "sudo apt-get install -y openssh-client openssh-server bubblewrap"],
  ["dnf", ["ip", "rsync"], "sudo dnf install -y rsync iproute"],
  ["brew", ["rsync"], "brew install rsync"],
  ["brew", ["ssh"], "xcode-select --install"],
] as const)("%s installs %j by one line, each package once", (manager, names, line) => {
  expect(installCommand(tools(...names), manager)).toBe(line);
});

test("no two tools are the same program", () => {
  const names = TOOLS.map((tool) => tool.program);
  expect(new Set(names).size).toBe(names.length);
});

test("the error for missing tools says what each is for, and installs all in one line", () => {
  expect(toolsMissing(tools("rsync", "sshd"), tools("rsync", "sshd", "bwrap"), "apt").message).toBe(
    `VL_TOOL_MISSING: Missing on this machine: rsync, sshd.
  why: rsync is needed to copy the project to machines
       sshd is needed for the emulator's machines
  do:  sudo apt-get install -y rsync openssh-server bubblewrap
       then run: npm run setup`,
  );
});
