import { expect, test } from "vitest";
import { type HostEntry, renderHostEntry } from "../../../../infra/ssh/host-entry.ts";

const entry: HostEntry = {
  host: "vastlane-dev",
  user: "root",
  localForward: ["8080 localhost:6006"],
  serverAliveInterval: 15,
  identityFile: null,
  cli: ["/usr/bin/node", "/home/me/vastlane/bin/vastlane.mjs"],
};

test("the entry names no address: both the way and the host key are looked up when somebody connects", () => {
  expect(renderHostEntry(entry)).toBe(`# Written by vastlane at every \`up\`; changes here are lost.
# The host name says which stack; ProxyCommand finds the stack's current machine when you connect, so the same
# name goes on working after a machine was replaced. KnownHostsCommand gives that machine's pinned host key.
Host vastlane-dev
  User root
  ProxyCommand /usr/bin/node /home/me/vastlane/bin/vastlane.mjs ssh-proxy %n
  KnownHostsCommand /usr/bin/node /home/me/vastlane/bin/vastlane.mjs known-hosts %n %H
  HostKeyAlgorithms ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256
  StrictHostKeyChecking yes
  UserKnownHostsFile none
  GlobalKnownHostsFile none
  UpdateHostKeys no
  CanonicalizeHostname no
  ServerAliveInterval 15
  ServerAliveCountMax 4
  # A shared connection would go on to a machine that is gone.
  ControlPath none
  # The machine is a stranger's: it must not be able to use your keys or your screen.
  ForwardAgent no
  ForwardX11 no
  LocalForward 8080 localhost:6006
`);
});

test("blanks, percent signs and quotes in paths survive OpenSSH's two ways of reading a command", () => {
  const text = renderHostEntry({
    ...entry,
    identityFile: "/home/my key",
    cli: ["/opt/100%/node", "/home/it's me/v.mjs"],
  });
  expect(text).toContain(`ProxyCommand /opt/100%%/node '/home/it'\\''s me/v.mjs' ssh-proxy %n\n`);
  expect(text).toContain(`KnownHostsCommand /opt/100%%/node "/home/it's me/v.mjs" known-hosts %n %H\n`);
  expect(text).toContain(`  IdentityFile "/home/my key"\n  IdentitiesOnly yes\n`);
});

test.each([
  ["a host with a blank", { host: "a b" }, 'vastlane:ssh.host cannot be "a b"'],
  ["a host that is a pattern", { host: "*" }, 'vastlane:ssh.host cannot be "*"'],
  ["a forward of one word", { localForward: ["8080"] }, 'vastlane:ssh.localForward cannot be "8080"'],
  ["a forward that smuggles a second line in", { localForward: ["1 a:2\n  User x"] }, "vastlane:ssh.localForward"],
  ["a user with a newline", { user: "root\nProxyCommand x" }, "the machine's user cannot be"],
])("%s is refused with the config key named", (_, change, what) => {
  expect(() => renderHostEntry({ ...entry, ...change })).toThrow(what);
});
