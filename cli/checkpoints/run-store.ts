/** The store of a stack's run, as the person at the keyboard reaches it. */
import { UserError } from "../../common/errors.ts";
import { environmentOf, findProjectRoot } from "../../infra/project.ts";
import { runIdOf } from "../../infra/run-id.ts";
import { resolveStore, runPrefix, s3AccessOf } from "../../infra/storage/access.ts";
import { openStore } from "../../runtime/store/index.ts";
import type { ObjectStore } from "../../runtime/store/types.ts";
import type { Io } from "../command.ts";
import { readStackConfig } from "../operation.ts";

export interface RunStore {
  runId: string;
  store: ObjectStore;
  close(): void;
}

/**
 * `run` is another run's id than the one that the stack's configuration names now.
 * @throws UserError VL_NOT_FOUND when the stack has no store, VL_EMULATOR_DOWN, VL_STORE_NO_KEY
 */
export function openRunStore(stack: string, run: string | undefined, io: Io): RunStore {
  const root = findProjectRoot(io.cwd);
  const config = readStackConfig(root, stack);
  const env = environmentOf(root, io.env as NodeJS.ProcessEnv);
  const found = resolveStore(config, root, env);
  if (!found) {
    throw new UserError("VL_NOT_FOUND", {
      what: `stack ${stack} keeps no checkpoints in a store`,
      why: `Pulumi.${stack}.yaml has vastlane:checkpoint.store none`,
      hint: "set checkpoint.store to s3 or aws, then: vastlane up",
    });
  }
  const runId = run ?? runIdOf(stack, config);
  const access = { ...s3AccessOf(found), bucket: found.bucket, prefix: runPrefix(found, runId) };
  const store = openStore(access, { keysFrom: found.keysFrom, env });
  return { runId, store, close: () => store.close() };
}
