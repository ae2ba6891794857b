/**
 * What was about to be rented, written down before the rent is sent: `.vastlane/intents/<scope>/<nonce>.json`.
 * A process that is killed between the rent and its answer leaves its intent behind, and whoever destroys the stack
 * next knows that one more machine may still appear in the market's (lagging) list.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../common/errors.ts";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";
import { parseLabel } from "./label.ts";

export interface Intent {
  label: string;
  offerId: number;
  /** Unix ms. */
  at: number;
}

export interface Intents {
  /** @throws UserError VL_DISK_FULL, or what the system says: then nothing must be rented. */
  write(intent: Intent): void;
  /** Never throws: one that stays costs the next destroy some seconds, and here a machine may just have been rented. */
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
    write(intent) {
      try {
        writeFileAtomic(pathOf(intent.label), JSON.stringify(intent));
      } catch (cause) {
        throw unwritable(folder, cause);
      }
    },
    clear(label) {
      try {
        rmSync(pathOf(label), { force: true });
      } catch {
        // see above
      }
    },
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
          const parsed = schema.safeParse(readIfWhole(join(folder, scope, name)));
          return parsed.success ? [parsed.data] : [];
        });
    },
  };
}

function unwritable(folder: string, cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT") return cause;
  return new UserError("VL_DISK_FULL", {
    what: "this computer's disk is full, so nothing was rented",
    why: `what is rented is written down first, in ${folder}`,
    hint: "free some space, then run the command again",
    cause,
  });
}

/** A file that is no JSON (a disk that failed) must not keep a destroy from working. */
function readIfWhole(path: string): unknown {
  try {
    return readJsonIfThere(path);
  } catch {
    return undefined;
  }
}
