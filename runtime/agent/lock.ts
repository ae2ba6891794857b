/**
 * One agent per machine. The lock is a listening socket, which the kernel gives to one process only and takes back
 * when that dies, so nothing can be stale: not after a SIGKILL, not after a restart that reuses process ids.
 * agent.json beside it is the record for start.sh, stop.sh and people: who holds it.
 */
import { rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Workspace } from "./workspace.ts";

/** The held lock, or undefined when another agent lives. */
export async function takeLock(workspace: Workspace): Promise<Server | undefined> {
  // A leading NUL is Linux's abstract namespace: a name without a file. Elsewhere it is a file.
  const isAbstract = process.platform === "linux";
  const address = isAbstract ? `\0vastlane-agent:${workspace.root}` : join(workspace.state, "agent.sock");
  const server = await listen(address);
  if (server || isAbstract || (await isAnswered(address))) return server;
  rmSync(address, { force: true });
  return listen(address);
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(address, () => resolve(server));
  });
}

function isAnswered(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
