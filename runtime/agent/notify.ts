/** Tells people who are on the machine, and those who are not: a line in every terminal, and a webhook. Never fails. */
import { closeSync, constants, openSync, readdirSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

export interface Notice {
  text: string;
  runId: string | null;
  /** `VASTLANE_WEBHOOK_URL`: gets a POST of { text, runId, host } as JSON. */
  webhook: string | undefined;
}

export async function notify({ text, runId, webhook }: Notice): Promise<void> {
  tellTerminals(`\r\n[vastlane] ${text}\r\n`);
  if (!webhook) return;
  try {
    await fetch(webhook, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text, runId, host: hostname() }),
      signal: AbortSignal.timeout(10_000),
    });
  } catch {
    // nobody is there to be told that nobody could be told
  }
}

function tellTerminals(text: string): void {
  let names: string[];
  try {
    names = readdirSync("/dev/pts").filter((name) => /^\d+$/.test(name));
  } catch {
    return;
  }
  for (const name of names) {
    try {
      // A terminal that nobody reads must not hold the agent up.
      const file = openSync(join("/dev/pts", name), constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      try {
        writeSync(file, text);
      } finally {
        closeSync(file);
      }
    } catch {
      // closed meanwhile, or another user's
    }
  }
}
