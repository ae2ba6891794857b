import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { foreignSshCommand, sshCommand } from "../../../cli/ssh-command.ts";
import { parseConfig } from "../../../infra/config.ts";
import { registerHost } from "../../../infra/ssh/config-file.ts";

const config = parseConfig({ market: "vast" }, "Pulumi.dev.yaml");
let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "vl-home-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const place = (name = "main") => ({ stack: "dev", name, stateDir: join(home, "clone/.vastlane"), home });
const register = (stateDir: string) =>
  registerHost(
    {
      host: "vastlane-dev",
      user: "root",
      localForward: [],
      serverAliveInterval: 15,
      identityFile: null,
      cli: ["/usr/bin/node", "/p/bin/vastlane.mjs", "--state-dir", stateDir],
    },
    { stateDir, home },
  );

test("is the plain alias where OpenSSH finds it and this clone wrote it", () => {
  register(place().stateDir);
  expect(sshCommand(config, place())).toBe("ssh vastlane-dev");
});

test("is our own command where the alias is not set up, was taken out, or belongs to another clone", () => {
  const ours = "npx vastlane ssh --stack dev";
  expect(sshCommand(config, place())).toBe(ours);
  register(join(home, "other/.vastlane"));
  expect(sshCommand(config, place())).toBe(ours);
  register(place().stateDir);
  mkdirSync(join(home, ".ssh"), { recursive: true });
  writeFileSync(join(home, ".ssh", "config"), "Host *\n");
  expect(sshCommand(config, place())).toBe(ours);
});

test("names the machine of a stack with several, and needs no configuration", () => {
  expect(sshCommand(undefined, place("worker-1"))).toBe("npx vastlane ssh --stack dev --node worker-1");
});

test("is the market's address for a machine that vastlane did not rent, and null while there is none", () => {
  const addresses = [{ host: "203.0.113.5", port: 40022, kind: "direct" as const }];
  expect(foreignSshCommand({ addresses, sshUser: "root" })).toBe("ssh -p 40022 root@203.0.113.5");
  expect(foreignSshCommand({ addresses: [], sshUser: "root" })).toBeNull();
});
