/**
 * The Pulumi engine as seen from a process that it started: whether it still lives, and what a dead one left behind.
 * A killed engine leaves its language host, this provider and the program running (seen with 3.259.0: the language
 * host for five minutes, the provider for ever); all of them carry the engine's address as an argument.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createConnection } from "node:net";
import { type Clock, systemClock } from "../common/clock.ts";
import { endProcess, identify, isAlive, type ProcessId } from "../common/process.ts";

/** Programs that an engine starts, by a word of their command line. */
const CHILDREN = /pulumi-language-nodejs|pulumi-resource-|@pulumi\/pulumi\/cmd\/(dynamic-provider|run)/;
const ADDRESS = /127\.0\.0\.1:\d+/;

/** Whether something accepts connections at `host:port` on this computer. */
export function answersAt(address: string, timeoutMs = 2000): Promise<boolean> {
  const [host = "127.0.0.1", port = "0"] = address.split(":");
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port) });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish(true)); // slow is not gone
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}

/** The engine's address among a child's arguments: after `--engine`, else the last one. */
export function engineAddress(argv: readonly string[]): string | undefined {
  const flag = argv.indexOf("--engine");
  const candidate = flag >= 0 ? argv[flag + 1] : argv.at(-1);
  return candidate && ADDRESS.test(candidate) ? candidate : undefined;
}

export interface EngineChild extends ProcessId {
  address: string;
}

/**
 * Children of engines, found by command line; with `root`, only those working in that project.
 * Linux only: elsewhere nothing is found, and leftovers end by themselves within minutes.
 */
export function engineChildren(root?: string): EngineChild[] {
  return processIds().flatMap((pid) => {
    if (pid === process.pid) return [];
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);
      if (!CHILDREN.test(argv.join(" "))) return [];
      const address = engineAddress(argv);
      if (!address) return [];
      if (root !== undefined && !isInside(readlinkSync(`/proc/${pid}/cwd`), root)) return [];
      return [{ ...identify(pid), address }];
    } catch {
      return []; // it ended while we looked, or it is another user's
    }
  });
}

/**
 * Ends what dead engines of this project left running, and waits for it. A provider gets `graceMs` to end what it
 * has just rented (it notices its engine's death by itself within a second). Returns how many there were.
 */
export async function endOrphans(root: string, clock: Clock = systemClock, graceMs = 10_000): Promise<number> {
  const children = engineChildren(root);
  const addresses = [...new Set(children.map(({ address }) => address))];
  const dead = new Set<string>();
  await Promise.all(addresses.map(async (address) => (await answersAt(address)) || dead.add(address)));
  const orphans = children.filter(({ address }) => dead.has(address));
  await Promise.all(orphans.map((orphan) => endProcess(orphan, clock, graceMs)));
  return orphans.length;
}

/** Sends SIGTERM to the siblings that a dead engine left, for callers that cannot wait. */
export function signalSiblings(address: string): void {
  for (const child of engineChildren()) {
    if (child.address === address && isAlive(child)) {
      try {
        process.kill(child.pid, "SIGTERM");
      } catch {
        // gone already
      }
    }
  }
}

/**
 * Looks every `everyMs` whether the engine answers and calls `onGone` once when two looks in a row fail.
 * The timer does not keep the process alive.
 */
export function watchEngine(address: string, onGone: () => void, everyMs = 400): () => void {
  let misses = 0;
  const timer = setInterval(async () => {
    misses = (await answersAt(address)) ? 0 : misses + 1;
    if (misses < 2) return;
    clearInterval(timer);
    onGone();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function processIds(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function isInside(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}
