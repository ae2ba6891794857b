/** What a killed run of the engine leaves behind on this computer, put right before the next one: processes, lock, state. */
import { endOrphans } from "../infra/engine-process.ts";
import type { Io } from "./command.ts";
import { describeHolder, recoverLock, repairStateFile } from "./engine.ts";

/**
 * Ends orphans first: they could still rent. `note` is told what was done, a line each.
 * @throws UserError VL_LOCKED when a live run holds the stack.
 */
export async function recoverStack(stack: string, root: string, io: Io, note: (line: string) => void): Promise<void> {
  const options = { env: io.env, root, clock: io.clock };
  const orphans = await endOrphans(root, io.clock);
  if (orphans > 0) note(`ended ${orphans} process(es) that a killed Pulumi run had left`);
  for (const holder of await recoverLock(stack, options)) {
    note(`removed the lock of a killed Pulumi run: ${describeHolder(holder, io.clock)}`);
  }
  for (const file of repairStateFile(stack, options)) {
    note(`removed a half-written file of a killed Pulumi run: ${file}`);
  }
}
