/**
 * Loopback ports for servers of tests. Taken from below the range out of which the system serves outgoing connections
 * (32768 and up on Linux): a port from there may be somebody's connection by the time that it is used.
 */
import { createServer } from "node:net";

const FIRST = 12_000;
const COUNT = 18_000;
/** Never handed out twice by one process. */
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

export async function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, freePort));
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
