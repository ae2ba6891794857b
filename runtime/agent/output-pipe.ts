/**
 * The pipe through which the command's output reaches the agent: a FIFO that the command itself holds open for
 * reading too. So the command neither dies of a full disk (it never writes to a file of ours) nor of the agent's
 * death: with an ordinary pipe its next line would end it with SIGPIPE. At worst it waits until a new agent reads.
 */
import { execFileSync } from "node:child_process";
import { constants, openSync, rmSync, statSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface OutputPipe {
  /** A descriptor for a command's stdout and stderr; the caller closes it after the start. */
  openForCommand(): number;
  /** Resolves when no process holds the pipe any more and all is read, or after `waitMs`. */
  drained(waitMs: number): Promise<void>;
  close(): void;
}

export function openOutputPipe(wanted: string, onChunk: (chunk: Buffer) => void): OutputPipe {
  const path = makePipe(wanted) ?? makePipe(join(tmpdir(), `vastlane-${process.pid}.fifo`));
  if (path === undefined) throw new Error(`cannot make a named pipe at ${wanted}`);
  return readPipe(path, onChunk);
}

function readPipe(path: string, onChunk: (chunk: Buffer) => void): OutputPipe {
  let [reader] = read(); // for what an earlier agent's command still has to say
  let ended: Promise<void> = Promise.resolve();

  return {
    openForCommand() {
      const descriptor = openSync(path, constants.O_RDWR);
      // Opened second, so that it has a writer from its first look on and cannot see an end of file too early.
      const previous = reader;
      [reader, ended] = read();
      previous.destroy();
      return descriptor;
    },
    async drained(waitMs) {
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, waitMs);
      });
      await Promise.race([ended, waited]);
      clearTimeout(timer);
    },
    close() {
      reader.destroy();
    },
  };

  function read(): [Socket, Promise<void>] {
    const socket = new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true });
    socket.on("data", onChunk);
    socket.on("error", () => {}); // "close" follows
    return [socket, new Promise((resolve) => socket.once("close", () => resolve()))];
  }
}

/** The path, now a FIFO; undefined where the file system has none. */
function makePipe(path: string): string | undefined {
  if (isPipe(path)) return path;
  try {
    rmSync(path, { force: true });
    execFileSync("mkfifo", ["-m", "600", path], { stdio: "ignore" });
    return path;
  } catch {
    return undefined;
  }
}

function isPipe(path: string): boolean {
  try {
    return statSync(path).isFIFO();
  } catch {
    return false;
  }
}
