/** Which key logs in: the person's own on the real market, the project's pair on the emulated one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_PUBLIC_KEY, resolveKeys } from "../../../../infra/ssh/keys.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGxldHByb29mYnVsbGV0cHJvb2ZidWxsZXRwcm9v me@here";
const PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-keys-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const resolve = (publicKey: string, privateKey: string | null = null, market: "vast" | "emulator" = "vast") =>
  resolveKeys({ publicKey, privateKey }, market, join(folder, "state"));

describe("on the real market", () => {
  test("a path: the key in the file, and the private half beside it", () => {
    const path = file("id.pub", `${KEY}\n`);
    expect(resolve(path)).toEqual({ publicKey: KEY, identityFile: null });
    const identityFile = file("id", PRIVATE);
    expect(resolve(path)).toEqual({ publicKey: KEY, identityFile });
  });

  test("a private key that is named comes before the one beside it", () => {
    const path = file("id.pub", KEY);
    file("id", PRIVATE);
    const other = file("other", PRIVATE);
    expect(resolve(path, other).identityFile).toBe(other);
  });

  test.each([KEY, `${KEY}\n`, "ecdsa-sha2-nistp256 AAAA", "sk-ssh-ed25519@openssh.com AAAA", "ssh-rsa AAAA"])(
    "the key itself: %j",
    (text) => {
      expect(resolve(text)).toEqual({ publicKey: text.trim(), identityFile: null });
    },
  );

  test("a path that begins as a key does is a path", () => {
    expect(() => resolve("ssh-keys/id.pub")).toThrow("VL_KEY_FILE: there is no SSH key at ssh-keys/id.pub");
  });

  test("~ is the person's home", () => {
    expect(() => resolve("~/no-such-key-here.pub")).toThrow(join(homedir(), "no-such-key-here.pub"));
  });

  test("the default path is no reason for the project's own pair here", () => {
    expect(() => resolve(DEFAULT_PUBLIC_KEY, join(folder, "missing"))).toThrow(/VL_KEY_FILE.*missing/);
  });
});

describe("said before anything is rented", () => {
  test("a file that is missing", () => {
    const path = join(folder, "id.pub");
    expect(() => resolve(path)).toThrow(`VL_KEY_FILE: there is no SSH key at ${path}
  why: vastlane:ssh.publicKey names it; nothing was rented
  do:  make one with \`ssh-keygen -t ed25519\`, or set vastlane:ssh.publicKey to another key`);
    expect(() => resolve(KEY, path)).toThrow("vastlane:ssh.privateKey names it; nothing was rented");
  });

  test("a private key where the public one is wanted, without reading it aloud", () => {
    const path = file("id", PRIVATE);
    expect(() => resolve(path)).toThrow(`VL_KEY_FILE: ${path} is a private key
  why: vastlane:ssh.publicKey names the public half; the private one never leaves this computer
  do:  use ${path}.pub`);
  });

  test.each(["", "hello", `${KEY}\n${KEY}`, "ssh-ed25519", "command=x ssh-ed25519 AAAA"])("a file with %j", (text) => {
    const path = file("id.pub", text);
    expect(() => resolve(path)).toThrow(`VL_KEY_FILE: ${path} is not an SSH public key
  why: a public key is one line that begins with its type, such as ssh-ed25519
  do:  see \`ssh-keygen -y -f <private key>\``);
  });

  test("a folder", () => {
    mkdirSync(join(folder, "id.pub"));
    expect(() => resolve(join(folder, "id.pub"))).toThrow(
      /^VL_KEY_FILE: the SSH key .* cannot be read\n {2}why: EISDIR/,
    );
  });

  test.each([
    ["publicKey", PRIVATE, null],
    ["privateKey", KEY, PRIVATE],
  ])("a private key pasted into vastlane:ssh.%s, which is not repeated", (name, publicKey, privateKey) => {
    let message = "";
    try {
      resolve(publicKey, privateKey);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toBe(`VL_KEY_FILE: vastlane:ssh.${name} holds a private key
  why: it wants a path; what stands in the configuration is committed, copied into the state and printed
  do:  put the path of the file there, and make a new pair if the file was shared`);
    expect(message).not.toContain("b3BlbnNzaC1rZXk");
  });
});

describe("on the emulated market", () => {
  test("the project's own pair, made at first use and kept", () => {
    const first = resolve(DEFAULT_PUBLIC_KEY, null, "emulator");
    expect(first.identityFile).toBe(join(folder, "state", "ssh", "id_ed25519"));
    expect(first.publicKey).toMatch(/^ssh-ed25519 \S+ vastlane-emulator$/);
    expect(statSync(first.identityFile as string).mode & 0o777).toBe(0o600);
    expect(resolve(DEFAULT_PUBLIC_KEY, null, "emulator")).toEqual(first);
    expect(execFileSync("ssh-keygen", ["-y", "-f", first.identityFile as string], { encoding: "utf8" })).toContain(
      first.publicKey.split(" ")[1],
    );
  });

  test("a key that the person names is used as it is", () => {
    const path = file("id.pub", KEY);
    expect(resolve(path, null, "emulator")).toEqual({ publicKey: KEY, identityFile: null });
  });

  test("nothing of the pair is readable for others", () => {
    const { identityFile } = resolve(DEFAULT_PUBLIC_KEY, null, "emulator");
    expect(readFileSync(identityFile as string, "utf8")).toContain("PRIVATE KEY");
    expect(statSync(join(folder, "state", "ssh")).mode & 0o777).toBe(0o700);
  });
});
