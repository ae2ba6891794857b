/** Tells people who are on the machine, and those who are not: a line in every terminal, and a webhook. Never fails. */
import { closeSync, constants, openSync, readdirSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

export interface Notice {
  text: string;
  runId: string | null;
  /** `VASTLANE_WEBHOOK_URL`: gets a POST of { text, content, runId, host } as JSON. */
  webhook: string | undefined;
  /** Tests have their own. */
  terminals?: string;
  fetch?: typeof fetch;
}

export async function notify({ text, runId, webhook, ...world }: Notice): Promise<void> {
  tellTerminals(world.terminals ?? "/dev/pts", `\r\n[vastlane] ${text}\r\n`);
  if (!webhook) return;
  try {
    await (world.fetch ?? fetch)(webhook, {
      method: "POST",
      headers: { "content-type": "application/json" },
      // Slack reads `text`, Discord `content`.
      body: JSON.stringify({ text, content: text, runId, host: hostname() }),
      signal: AbortSignal.timeout(10_000),
    });
  } catch {
    // nobody is there to be told that nobody could be told
  }
}

function tellTerminals(folder: string, text: string): void {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => /^\d+$/.test(name));
  } catch {
    return;
  }
  for (const name of names) {
    try {
      // A terminal that nobody reads must not hold the agent up.
      const file = openSync(join(folder, name), constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
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
