/** Host keys: each contract has one of its own from its first start to its end, as containers do. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { placeFile } from "./folder.ts";
import { HOST_KEY } from "./image.ts";
import { runTool } from "./tools.ts";

export async function placeHostKey(sshKeygen: string, disk: string): Promise<void> {
  if (existsSync(join(disk, HOST_KEY))) return;
  const { key, publicKey } = await makeKey(sshKeygen, join(disk, "etc/ssh/new-key"));
  placeFile(disk, `${HOST_KEY}.pub`, publicKey);
  placeFile(disk, HOST_KEY, key, 0o600);
}

/** Makes an ed25519 key at `path` and takes it away from there again. */
async function makeKey(sshKeygen: string, path: string): Promise<{ key: string; publicKey: string }> {
  for (const file of [path, `${path}.pub`]) rmSync(file, { force: true });
  const { status, output } = await runTool(sshKeygen, ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]);
  if (status !== 0) throw new Error(`ssh-keygen failed: ${output}`);
  const made = { key: readFileSync(path, "utf8"), publicKey: readFileSync(`${path}.pub`, "utf8") };
  for (const file of [path, `${path}.pub`]) rmSync(file);
  return made;
}
