/**
 * The way to a machine for OpenSSH's ProxyCommand: a TCP connection on which an SSH server has really spoken.
 * A market's gateway accepts connections for machines that are gone, so "connected" alone proves nothing; a server
 * sends its greeting unasked, and that decides.
 */
import { execFile } from "node:child_process";
import { createConnection, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Attempt, failureOf, type SshFailureReason } from "./failure.ts";
import { HOST_KEY_ALGORITHMS, type SshAddress, type SshTarget } from "./target.ts";

export interface OpenSsh {
  socket: Socket;
  /** What the server has sent already; belongs in front of everything that the socket gives. */
  greeting: Buffer;
  address: SshAddress;
}

/** The next address is tried as well when one is silent for this long. */
const HEAD_START_MS = 1000;

/**
 * Connects to the first of the target's addresses whose server greets; the others are closed.
 * @throws SshFailure naming each address when none does within `timeoutMs`.
 */
export async function openSsh(target: SshTarget, timeoutMs = 15_000): Promise<OpenSsh> {
  const attempts: Attempt[] = [];
  const sockets: Socket[] = [];
  return new Promise((resolve, reject) => {
    let next = 0;
    let headStart: NodeJS.Timeout | undefined;
    let isOver = false;
    const limit = setTimeout(() => {
      next = target.addresses.length;
      for (const socket of sockets) socket.destroy(timeoutError());
    }, timeoutMs);
    const finish = (act: () => void, kept?: Socket) => {
      isOver = true;
      clearTimeout(limit);
      clearTimeout(headStart);
      for (const socket of sockets) if (socket !== kept) socket.destroy();
      act();
    };
    const tryNext = () => {
      if (isOver) return;
      clearTimeout(headStart);
      const address = target.addresses[next++];
      if (address === undefined) {
        if (attempts.length === sockets.length) finish(() => reject(failureOf(target, attempts, [])));
        return;
      }
      const socket = createConnection({ host: address.host, port: address.port, noDelay: true });
      sockets.push(socket);
      greetingOf(socket).then(
        (greeting) => finish(() => resolve({ socket, greeting, address }), socket),
        (error: NodeJS.ErrnoException) => {
          attempts.push({ address, reason: reasonOfSocket(error), log: error.message });
          tryNext();
        },
      );
      headStart = setTimeout(tryNext, HEAD_START_MS);
    };
    tryNext();
  });
}

/** Carries bytes both ways until the machine closes; the end of `input` is passed on as a half-close. */
export async function bridge(open: OpenSsh, input: Readable, output: Writable): Promise<void> {
  output.write(open.greeting);
  const up = pipeline(input, open.socket).catch(() => {}); // a machine that is gone breaks it; `down` tells
  await pipeline(open.socket, output, { end: false }).catch(() => {});
  input.destroy();
  await up;
}

/**
 * The host key that a machine shows to somebody who just asks (`ssh-keyscan`), as `type base64`, in our order of
 * types. As good as the first contact of `ssh` itself, and needs no log-in. Null when it cannot be had.
 */
export function scanHostKey(address: SshAddress): Promise<string | null> {
  const args = ["-T", "8", "-t", "ed25519,ecdsa,rsa", "-p", String(address.port), "--", address.host];
  return new Promise((resolve) => {
    execFile("ssh-keyscan", args, { timeout: 10_000 }, (_error, stdout) => {
      const keys = stdout.split("\n").flatMap((line) => {
        const [, type, base64] = line.trim().split(/\s+/);
        return !line.startsWith("#") && type && base64 ? [`${type} ${base64}`] : [];
      });
      const types = HOST_KEY_ALGORITHMS.replaceAll("rsa-sha2-512", "ssh-rsa").split(",");
      resolve(types.flatMap((type) => keys.filter((key) => key.startsWith(`${type} `)))[0] ?? null);
    });
  });
}

function greetingOf(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      socket.removeAllListeners();
      socket.on("error", () => {}); // a break before the bytes flow shows itself as their end
      socket.pause();
      act();
    };
    socket.once("data", (chunk: Buffer) =>
      settle(() => {
        if (chunk.subarray(0, 4).toString() === "SSH-") return resolve(chunk);
        socket.destroy();
        reject(new Error("the answer is not that of an SSH server"));
      }),
    );
    socket.once("error", (error) => settle(() => reject(error)));
    socket.once("close", () => settle(() => reject(closedError())));
  });
}

function reasonOfSocket(error: NodeJS.ErrnoException): SshFailureReason {
  const reasons: Record<string, SshFailureReason> = {
    ECONNREFUSED: "refused",
    ETIMEDOUT: "timeout",
    ECONNRESET: "closed",
    EHOSTUNREACH: "unreachable",
    ENETUNREACH: "unreachable",
    ENOTFOUND: "unreachable",
    EAI_AGAIN: "unreachable",
  };
  return reasons[error.code ?? ""] ?? "other";
}

function timeoutError(): Error {
  return Object.assign(new Error("no greeting in time"), { code: "ETIMEDOUT" });
}

function closedError(): Error {
  return Object.assign(new Error("closed before the greeting"), { code: "ECONNRESET" });
}
