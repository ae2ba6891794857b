/** A port on loopback that leads to a port of a machine, and counts what passes for the traffic bill. */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface Forwarder {
  readonly port: number;
  /** Stops listening and cuts every connection. */
  close(): void;
}

export interface ForwarderOptions {
  /** Loopback port to listen on; 0 takes any. */
  port: number;
  target: { host: string; port: number };
  /** Looks at each connection first; returns false when it has dealt with it itself. */
  admit(client: Socket): boolean | Promise<boolean>;
  /** Bytes into the machine, and out of it. */
  count(received: number, sent: number): void;
}

/** Listens on 127.0.0.1. Rejects with EADDRINUSE when another program has the port. */
export async function openForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, async (client) => {
    track(open, client);
    if (!(await options.admit(client)) || client.destroyed) return;
    const machine = connect({ ...options.target, allowHalfOpen: true, noDelay: true });
    track(open, machine);
    client.on("data", (chunk) => options.count(chunk.length, 0));
    machine.on("data", (chunk) => options.count(0, chunk.length));
    // A reset on one side is a reset on the other: nothing listens there, or the machine was killed.
    client.once("close", (hadError) => (hadError ? machine.resetAndDestroy() : machine.end()));
    machine.once("close", (hadError) => (hadError ? client.resetAndDestroy() : client.end()));
    machine.pipe(client);
    client.pipe(machine);
  });
  await listenOn(server, options.port, "127.0.0.1");
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : options.port,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Resolves when the server listens; rejects with the system's own error (EADDRINUSE). */
export function listenOn(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, resolve);
  });
}

function track(open: Set<Socket>, socket: Socket): void {
  open.add(socket);
  socket.on("error", () => {}); // "close" follows, and tells the other side
  socket.once("close", () => open.delete(socket));
}
