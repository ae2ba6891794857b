/**
 * A way out for emulated machines, which have no internet: a CONNECT proxy of this computer on their bridge. Only what
 * installs software is told of it; everything else stays as it is on an emulated market.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface Proxy {
  /** As machines reach it. */
  url: string;
  close(): void;
}

/** `home`: of the emulator, whose bridge is there once it runs. Undefined: its machines are not isolated. */
export async function openProxy(home: string): Promise<Proxy | undefined> {
  const bridge = `vl${createHash("sha256").update(realpathSync(home)).digest("hex").slice(0, 8)}`;
  const gateway = addressOf(bridge);
  if (gateway === undefined) return undefined;
  const sockets = new Set<Socket>();
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on("connect", ({ url = "" }, client: Socket, head: Buffer) => {
    const [host = "", port = "443"] = url.split(":");
    const there = connect({ host, port: Number(port) });
    for (const socket of [client, there]) {
      sockets.add(socket);
      socket.on("error", () => [client, there].map((it) => it.destroy()));
      socket.on("close", () => sockets.delete(socket));
    }
    there.once("connect", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      there.write(head);
      there.pipe(client).pipe(there);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, gateway, resolve));
  return {
    url: `http://${gateway}:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Asked of `ip`: Node does not list a bridge to which nothing is connected yet. */
function addressOf(link: string): string | undefined {
  try {
    const show = ["-4", "-o", "addr", "show", "dev", link];
    const shown = execFileSync("ip", show, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return /inet ([\d.]+)\//.exec(shown)?.[1];
  } catch {
    return undefined;
  }
}
