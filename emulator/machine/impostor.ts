/** The fault `ssh-wrong-key`: a stranger's sshd answers in the machine's place, one process per connection. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { machinesFolder } from "./folder.ts";
import { impostorConfig } from "./sshd-config.ts";
import { runTool } from "./tools.ts";

/** Hands the connection to an sshd with another host key, into which no key gets. */
export async function answerAsStranger(
  home: string,
  tools: { sshd: string; sshKeygen: string },
  client: Socket,
): Promise<void> {
  const folder = join(machinesFolder(home), ".stranger");
  const key = join(folder, "key");
  const config = join(folder, "sshd_config");
  if (!existsSync(config)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    await runTool(tools.sshKeygen, ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], { input: "n\n" });
    writeFileSync(config, impostorConfig(key));
  }
  // sshd as root wants this folder; where its service never ran, it is not there.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const child = spawn(tools.sshd, ["-i", "-f", config], { env: {}, stdio: [client, client, "ignore"] });
  child.on("error", () => client.destroy());
  child.on("exit", () => client.destroy());
}
