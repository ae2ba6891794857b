/** A way to a server on loopback that can be cut and mended, as a network can. */
import { connect, createServer, type Server, type Socket } from "node:net";

export interface Tunnel {
  url: string;
  /** Ends every connection and refuses new ones. */
  cut(): void;
  /** At the same port. */
  mend(): Promise<void>;
  /** Takes connections and what they send, and answers nothing: the far end is gone without a word. */
  stall(): void;
}

export async function openTunnel(targetPort: number): Promise<Tunnel> {
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let isStalled = false;
  const listen = (port: number): Promise<number> => {
    const made = createServer((near) => {
      if (isStalled) {
        sockets.add(near);
        near.on("error", () => {}).resume();
        return;
      }
      const far = connect(targetPort, "127.0.0.1");
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.on("error", () => to.destroy());
        from.on("close", () => sockets.delete(from));
        from.pipe(to);
      }
    });
    server = made;
    return new Promise((resolve, reject) => {
      made.once("error", reject);
      made.listen(port, "127.0.0.1", () => {
        const address = made.address();
        resolve(typeof address === "object" && address ? address.port : port);
      });
    });
  };
  const port = await listen(0);
  return {
    url: `http://127.0.0.1:${port}`,
    cut() {
      server?.close();
      for (const socket of sockets) socket.destroy();
    },
    async mend() {
      isStalled = false;
      await listen(port);
    },
    stall() {
      isStalled = true;
      for (const socket of sockets) socket.unpipe().resume();
    },
  };
}
