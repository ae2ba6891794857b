import { expect, test } from "vitest";
import { installCommand, TOOLS } from "../../../cli/tools.ts";

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
