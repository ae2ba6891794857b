/**
 * What was about to be rented, written down before the rent is sent: `.vastlane/intents/<scope>/<nonce>.json`.
 * A process that is killed between the rent and its answer leaves its intent behind, and whoever destroys the stack
 * next knows that one more machine may still appear in the market's (lagging) list.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";
import { parseLabel } from "./label.ts";

export interface Intent {
  label: string;
  offerId: number;
  /** Unix ms. */
  at: number;
}

export interface Intents {
  /** @throws when it cannot be written (disk full): then nothing must be rented. */
  write(intent: Intent): void;
  clear(label: string): void;
  of(scope: string): Intent[];
}

const schema = z.object({ label: z.string(), offerId: z.number(), at: z.number() });

export function intentsIn(folder: string): Intents {
  const pathOf = (label: string) => {
    const parts = parseLabel(label);
    return join(folder, parts?.scope ?? "unknown", `${parts?.nonce ?? "unknown"}.json`);
  };
  return {
    write: (intent) => writeFileAtomic(pathOf(intent.label), JSON.stringify(intent)),
    clear: (label) => rmSync(pathOf(label), { force: true }),
    of(scope) {
      let names: string[];
      try {
        names = readdirSync(join(folder, scope));
      } catch {
        return []; // nothing was ever rented from here
      }
      return names
        .filter((name) => name.endsWith(".json"))
        .flatMap((name) => {
          const parsed = schema.safeParse(readJsonIfThere(join(folder, scope, name)));
          return parsed.success ? [parsed.data] : [];
        });
    },
  };
}
