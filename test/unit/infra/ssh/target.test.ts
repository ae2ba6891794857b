import { expect, test } from "vitest";
import { failureOf, reasonOf } from "../../../../infra/ssh/failure.ts";
import { type SshTarget, sshArguments } from "../../../../infra/ssh/target.ts";

const direct = { host: "203.0.113.7", port: 40022, kind: "direct" as const };
const target: SshTarget = {
  contractId: 42,
  user: "root",
  addresses: [direct],
  hostKeys: ["ssh-ed25519 AAAA"],
  identityFile: null,
};
const settings = (args: string[]) => args.filter((_, index) => args[index - 1] === "-o");

test("a pinned machine is reached strictly, under the contract's name, with nothing of this computer lent", () => {
  const args = sshArguments(target, direct, { knownHostsFile: "/tmp/kh" });
  expect(settings(args)).toEqual(
    expect.arrayContaining([
      "BatchMode=yes",
      "HostKeyAlias=vastlane-contract-42",
      'UserKnownHostsFile="/tmp/kh"',
      "StrictHostKeyChecking=yes",
      "ForwardAgent=no",
      "ControlPath=none",
      "ClearAllForwardings=yes",
    ]),
  );
  expect(args.slice(-6)).toEqual(["-p", "40022", "-l", "root", "--", "203.0.113.7"]);
});

test("the first contact accepts a new key", () => {
  const args = sshArguments({ ...target, hostKeys: null }, direct, { knownHostsFile: "/tmp/kh" });
  expect(settings(args)).toContain("StrictHostKeyChecking=accept-new");
});

test("only a named identity file turns other keys of the agent off", () => {
  expect(settings(sshArguments(target, direct, { knownHostsFile: "/k" }))).not.toContain("IdentitiesOnly=yes");
  const named = sshArguments({ ...target, identityFile: "/id" }, direct, { knownHostsFile: "/k" });
  expect(settings(named)).toContain("IdentitiesOnly=yes");
  expect(named.join(" ")).toContain("-i /id");
});

test("the person's jump host is kept for real machines and left out for loopback", () => {
  const local = { ...direct, host: "127.0.0.1" };
  expect(settings(sshArguments(target, direct, { knownHostsFile: "/k" }))).not.toContain("ProxyJump=none");
  expect(settings(sshArguments(target, local, { knownHostsFile: "/k" }))).toContain("ProxyJump=none");
});

test("further settings win, and blanks and percent signs in a path survive", () => {
  const args = sshArguments(target, direct, { knownHostsFile: "/a b/100%", options: { ControlPath: "/s" } });
  expect(settings(args)).toContain("ControlPath=/s");
  expect(settings(args)).not.toContain("ControlPath=none");
  expect(settings(args)).toContain('UserKnownHostsFile="/a b/100%%"');
});

test.each([
  ["ssh: connect to host 127.0.0.1 port 9: Connection refused", "refused"],
  ["ssh: connect to host 192.0.2.1 port 22: Connection timed out", "timeout"],
  ["Connection timed out during banner exchange", "timeout"],
  ["ssh: connect to host 192.0.2.1 port 22: No route to host", "unreachable"],
  ["ssh: Could not resolve hostname ssh5.vast.ai: Name or service not known", "unreachable"],
  ["kex_exchange_identification: Connection closed by remote host\nConnection closed by 1.2.3.4 port 22", "closed"],
  ["kex_exchange_identification: read: Connection reset by peer", "closed"],
  ["root@1.2.3.4: Permission denied (publickey).", "permission-denied"],
  ["Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures", "permission-denied"],
  ["@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "host-key-changed"],
  ["No ED25519 host key is known for vastlane-contract-7 and you have requested strict checking.", "host-key-changed"],
  ["Connection to 127.0.0.1 closed by remote host.", "lost"],
  ["client_loop: send disconnect: Broken pipe", "lost"],
  ["Bad configuration option: foo", "other"],
])("%s -> %s", (log, reason) => {
  expect(reasonOf(log)).toBe(reason);
});

test("of several addresses the most telling reason leads and each is named", () => {
  const proxy = { host: "ssh5.vast.ai", port: 15001, kind: "proxy" as const };
  const failure = failureOf(
    target,
    [
      { address: direct, reason: "timeout", log: "" },
      { address: proxy, reason: "permission-denied", log: "" },
    ],
    ["/home/me/.ssh/id_ed25519 ED25519 SHA256:abc"],
  );
  expect(failure.reason).toBe("permission-denied");
  expect(failure.message).toBe(`VL_SSH_FAILED: no SSH connection to the machine of contract 42 as root
  why: ssh5.vast.ai:15001 (proxy): the machine accepts none of the keys offered
       203.0.113.7:40022 (direct): no answer in time
       keys offered: /home/me/.ssh/id_ed25519 ED25519 SHA256:abc
  do:  set vastlane:ssh.publicKey and vastlane:ssh.privateKey to the two halves of one key, or load the key with ssh-add`);
});
