/** Machines that failed us lately, so that the next try goes elsewhere. Kept in one small file, forgotten after a day. */
import { z } from "zod";
import type { Clock } from "../../common/clock.ts";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";

export interface BadMachines {
  has(machineId: number): boolean;
  add(machineId: number, reason: string): void;
}

const FORGET_MS = 24 * 3600 * 1000;
const schema = z.record(z.string(), z.object({ at: z.number(), reason: z.string() }));

export function badMachinesIn(path: string, clock: Clock): BadMachines {
  const read = () => {
    const parsed = schema.safeParse(safely(() => readJsonIfThere(path)) ?? {});
    const entries = Object.entries(parsed.success ? parsed.data : {});
    return Object.fromEntries(entries.filter(([, { at }]) => clock.now() - at < FORGET_MS));
  };
  return {
    has: (machineId) => String(machineId) in read(),
    add(machineId, reason) {
      // Only a hint for the next choice: a full disk here must not stop the destroy that follows.
      safely(() =>
        writeFileAtomic(path, JSON.stringify({ ...read(), [machineId]: { at: clock.now(), reason } }, null, 1)),
      );
    },
  };
}

function safely<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
