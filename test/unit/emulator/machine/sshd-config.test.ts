import { expect, test } from "vitest";
import { type SshdSettings, shellQuote, sshdConfig } from "../../../../emulator/machine/sshd-config.ts";

const settings: SshdSettings = {
  listen: "0.0.0.0",
  port: 22,
  hostKey: "/etc/ssh/ssh_host_ed25519_key",
  authorizedKeys: "/root/.ssh/authorized_keys",
  banner: "/etc/ssh/banner",
  version: 9.2,
  usePam: true,
  user: "root",
  sftp: "internal-sftp",
};

const lines = (changed: Partial<SshdSettings>) => sshdConfig({ ...settings, ...changed }).split("\n");

test("lets keys in and nothing else, without looking up names", () => {
  expect(lines({})).toEqual(
    expect.arrayContaining([
      "Port 22",
      "AllowUsers root",
      "PermitRootLogin prohibit-password",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "UseDNS no",
      "UsePAM yes",
      "StrictModes yes",
    ]),
  );
});

test("turns off the penalties of sshd 9.8, and does not name them to an older one", () => {
  expect(lines({ version: 9.7 })).not.toContain("PerSourcePenalties no");
  expect(lines({ version: 9.8 })).toContain("PerSourcePenalties no");
  expect(lines({ version: 10 })).toContain("PerSourcePenalties no");
});

test("quotes paths with blanks and doubles percent signs where sshd would expand them", () => {
  const found = lines({ hostKey: "/my home/key", authorizedKeys: "/my home/50%/keys" });
  expect(found).toContain('HostKey "/my home/key"');
  expect(found).toContain('AuthorizedKeysFile "/my home/50%%/keys"');
});

test("forces the session wrapper and its variables on one line each in plain mode", () => {
  const forced = { command: "/my home/bin/session", environment: { HOME: "/my home", VASTLANE_MACHINE: "ab-1" } };
  const found = lines({ forced });
  expect(found).toContain("ForceCommand '/my home/bin/session'");
  expect(found).toContain('SetEnv "HOME=/my home" VASTLANE_MACHINE=ab-1');
  expect(found).toContain("StrictModes no");
});

test.each([
  ["/plain/path-1.2", "/plain/path-1.2"],
  ["two words", "'two words'"],
  ["it's", `'it'\\''s'`],
  ["", "''"],
])("quotes %j for a shell as %s", (text, quoted) => {
  expect(shellQuote(text)).toBe(quoted);
});
