/** The project's folder on this machine, saved to the run's store and brought back from it, in the agent's words. */
import type { Clock } from "../../../common/clock.ts";
import type { Log } from "../../../common/log.ts";
import { named } from "../../../common/named.ts";
import type { Held } from "../../lease/index.ts";
import { createSnapshots, restoreSnapshot } from "../../snapshot/index.ts";
import type { ObjectStore } from "../../store/types.ts";
import type { Workspace } from "../workspace.ts";

/** In one line of the command's output. */
const MOST_NAMES = 10;

export interface WorkspaceOptions {
  store: ObjectStore;
  runId: string;
  workspace: Workspace;
  clock: Clock;
  log: Log;
  /** For people who read the command's output. */
  say(line: string): void;
}

export function keepWorkspace({ store, runId, workspace, clock, log, say }: WorkspaceOptions) {
  const { project, conflicts, files } = workspace;
  const { manifest, staging, snapshotMark: mark } = files;
  const place = { runId, project, conflicts, manifest, staging, mark };
  const snapshots = createSnapshots();
  return {
    /** Nothing on a disk whose workspace is the newest. */
    async restore({ epoch, previousEpoch }: Held): Promise<void> {
      const found = await restoreSnapshot({ store, epoch, previousEpoch, log: say, ...place });
      if (!found) return;
      const from = `changed on the machine before (${found.time.slice(0, 19)}Z)`;
      if (found.restored.length > 0) say(`brought back, as ${from}: ${named(found.restored, MOST_NAMES)}`);
      if (found.deleted.length > 0) say(`deleted again, as on the machine before: ${named(found.deleted, MOST_NAMES)}`);
      if (found.conflicts.length > 0) {
        say(
          `changed on both sides: ${named(found.conflicts, MOST_NAMES)}; the deployed files stay, those ${from} are in ${found.conflictFolder}`,
        );
      }
    },
    async save(held: Held, signal: AbortSignal): Promise<void> {
      const name = await snapshots.save({ store, tenure: held, clock, log, say, signal, ...place });
      if (name !== undefined) log(`the workspace is saved: ${name}`);
    },
  };
}
