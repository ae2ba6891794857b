/** Waiting until an sshd really speaks, by short connection attempts. */
import { connect } from "node:net";
import type { Clock } from "../../common/clock.ts";

const EVERY_MS = 10;
/** A packet that is lost while the network comes up would be sent again only after a second: a new attempt is faster. */
const CONNECT_MS = 50;
const GREETING_MS = 2000;

/** True as soon as the port greets with an SSH banner; false when `alive` says no or `limitMs` are over. */
export async function answersSsh(
  target: { host: string; port: number },
  alive: () => boolean,
  clock: Clock,
  limitMs: number,
): Promise<boolean> {
  const end = clock.now() + limitMs;
  while (alive() && clock.now() < end) {
    if (await greets(target)) return true;
    await clock.sleep(EVERY_MS);
  }
  return false;
}

function greets(target: { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(target);
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_MS, () => finish(false));
    socket.once("connect", () => socket.setTimeout(GREETING_MS));
    socket.once("error", () => finish(false));
    socket.once("close", () => finish(false));
    socket.once("data", (text) => finish(text.toString("latin1").startsWith("SSH-")));
  });
}
