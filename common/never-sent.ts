/**
 * What never goes to a rented machine, whatever the ignore files say: a stranger owns the disk.
 * Keys and passwords are named when they are left out; caches and our own state go without saying.
 */

/** Folders and files that are rebuilt on the machine, or only make sense here. */
const SILENT = new Set([
  ".git",
  "node_modules",
  ".vastlane",
  ".venv",
  "__pycache__",
  ".ipynb_checkpoints",
  ".DS_Store",
]);

const SECRET_FOLDERS = new Set([".ssh", ".aws", ".gnupg", ".kube"]);
const SECRET_FILES =
  /^(\.env.*|\.netrc|\.pypirc|\.git-credentials|.*\.(pem|key|p12|pfx|keystore)|id_(rsa|dsa|ecdsa|ed25519)(?!.*\.pub$).*)$/;
/** Stack configuration is for this side, may hold encrypted secrets, and a changed price is no changed code. */
const STACK_FILES = /^Pulumi\.[^.]+\.ya?ml$/;

export type NeverSent = "silent" | "secret" | undefined;

/** Judges one path (relative, `/` between folders) by its names. */
export function neverSent(path: string): NeverSent {
  const segments = path.split("/");
  const name = segments.at(-1) ?? "";
  if (segments.some((segment) => SILENT.has(segment)) || STACK_FILES.test(name)) return "silent";
  if (segments.some((segment) => SECRET_FOLDERS.has(segment))) return "secret";
  return SECRET_FILES.test(name) ? "secret" : undefined;
}

/** Judges a file by how it begins: a private key under any name, or npm's configuration with a token. */
export function looksSecret(path: string, start: string): boolean {
  if (/^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(start)) return true;
  return /(^|\/)\.npmrc$/.test(path) && /_auth|_password/i.test(start);
}
