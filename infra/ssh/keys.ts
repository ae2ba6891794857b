/**
 * Which key logs in. On the real market it is the person's own; emulated machines get a pair of this project, so that
 * the demo needs no key, no passphrase and no agent, and nothing of `~/.ssh` is read for it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf, UserError } from "../../common/errors.ts";
import { expandHome } from "../project.ts";

export interface KeyChoice {
  /** One line: type, base64, comment. */
  publicKey: string;
  /** Path of the private key; null: the SSH agent and OpenSSH's defaults. */
  identityFile: string | null;
}

export const DEFAULT_PUBLIC_KEY = "~/.ssh/id_ed25519.pub";

/** @throws UserError VL_KEY_FILE before anything is rented, when a key file is missing or is not a public key. */
export function resolveKeys(
  ssh: { publicKey: string; privateKey: string | null },
  market: "vast" | "emulator",
  stateDir: string,
): KeyChoice {
  if (market === "emulator" && ssh.publicKey === DEFAULT_PUBLIC_KEY && ssh.privateKey === null) {
    return projectPair(join(stateDir, "ssh", "id_ed25519"));
  }
  for (const [key, value] of Object.entries({ publicKey: ssh.publicKey, privateKey: ssh.privateKey ?? "" }))
    if (/PRIVATE KEY/.test(value)) throw pasted(`vastlane:ssh.${key}`);
  const identityFile = ssh.privateKey === null ? null : expandHome(ssh.privateKey);
  if (identityFile !== null && !existsSync(identityFile)) throw missing(identityFile, "vastlane:ssh.privateKey");
  if (isPublicKey(ssh.publicKey.trim())) return { publicKey: ssh.publicKey.trim(), identityFile };
  const path = expandHome(ssh.publicKey);
  const publicKey = readPublicKey(path);
  const beside = path.replace(/\.pub$/, "");
  return { publicKey, identityFile: identityFile ?? (beside !== path && existsSync(beside) ? beside : null) };
}

function readPublicKey(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") throw missing(path, "vastlane:ssh.publicKey");
    throw new UserError("VL_KEY_FILE", { what: `the SSH key ${path} cannot be read`, why: messageOf(cause), cause });
  }
  if (/PRIVATE KEY/.test(text)) {
    throw new UserError("VL_KEY_FILE", {
      what: `${path} is a private key`,
      why: "vastlane:ssh.publicKey names the public half; the private one never leaves this computer",
      hint: `use ${path}.pub`,
    });
  }
  if (!isPublicKey(text)) {
    throw new UserError("VL_KEY_FILE", {
      what: `${path} is not an SSH public key`,
      why: "a public key is one line that begins with its type, such as ssh-ed25519",
      hint: "see `ssh-keygen -y -f <private key>`",
    });
  }
  return text;
}

/** One line of type and base64, with or without a comment; a path such as `ssh-keys/id.pub` is none. */
function isPublicKey(text: string): boolean {
  return /^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]+/.test(text) && !/[\r\n]/.test(text);
}

/** The project's own pair for emulated machines, made at first use. */
function projectPair(path: string): KeyChoice {
  if (!existsSync(`${path}.pub`)) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    try {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "vastlane-emulator", "-f", path], {
        stdio: ["ignore", "pipe", "pipe"],
        input: "",
      });
    } catch (cause) {
      // Two at once: the other one has made it.
      if (!existsSync(`${path}.pub`)) {
        throw new UserError("VL_TOOL_MISSING", {
          what: "no SSH key could be made for emulated machines",
          why: messageOf(cause),
          hint: "install OpenSSH's client (ssh, ssh-keygen), or set vastlane:ssh.publicKey",
          cause,
        });
      }
    }
  }
  return { publicKey: readPublicKey(`${path}.pub`), identityFile: path };
}

/** Said without the value: it is a secret, and errors are logged. */
function pasted(key: string): UserError {
  return new UserError("VL_KEY_FILE", {
    what: `${key} holds a private key`,
    why: "it wants a path; what stands in the configuration is committed, copied into the state and printed",
    hint: "put the path of the file there, and make a new pair if the file was shared",
  });
}

function missing(path: string, key: string): UserError {
  return new UserError("VL_KEY_FILE", {
    what: `there is no SSH key at ${path}`,
    why: `${key} names it; nothing was rented`,
    hint: `make one with \`ssh-keygen -t ed25519\`, or set ${key} to another key`,
  });
}
