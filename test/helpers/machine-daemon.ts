/**
 * A machine host in a process of its own, for tests that kill it or run it as another user. Reads one JSON
 * command a line, `["start", spec]`, and answers each with `{ "result": ... }` or `{ "error": ... }`. Argument: home.
 */
import { createInterface } from "node:readline";
import { createMachineHost, type MachineHost } from "../../emulator/machine/index.ts";

const [home = "", plain] = process.argv.slice(2);
const host = await createMachineHost({
  home,
  apiPort: 0,
  binds: [],
  handleRequest: (_, response) => response.end("market\n"),
  log: (line) => console.error(line),
  ...(plain === "plain" ? { plain: true } : {}),
});
answer({ mode: host.mode, sshUser: host.sshUser ?? null });

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line) as [keyof MachineHost, ...unknown[]];
  try {
    answer(await (host[method] as (...args: unknown[]) => unknown)(...args));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}

function answer(result: unknown): void {
  console.log(JSON.stringify({ result: result ?? null }));
}
