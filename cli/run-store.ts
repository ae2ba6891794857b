/** The store of a stack's run, as the person at the keyboard reaches it. */
import { UserError } from "../common/errors.ts";
import type { StackConfig } from "../infra/config.ts";
import { environmentOf, findProjectRoot } from "../infra/project.ts";
import { runIdOf } from "../infra/run-id.ts";
import { resolveStore, runPrefix, s3AccessOf } from "../infra/storage/access.ts";
import { type OpenStore, openStore, type StoreAccess, type StoreOptions } from "../runtime/store/index.ts";
import type { ObjectStore } from "../runtime/store/types.ts";
import type { Io } from "./command.ts";
import { readStackConfig } from "./operation.ts";

/** Where the run's objects are, and how to get in. */
export interface RunPlace {
  runId: string;
  access: StoreAccess;
  options: Pick<StoreOptions, "keysFrom" | "env">;
}

/**
 * Undefined when the stack has no store. `run` is another run's id than the one that its configuration names now.
 * @throws UserError VL_EMULATOR_DOWN, VL_STORE_NO_KEY
 */
export function placeOfRun(
  { stack, config, root }: { stack: string; config: StackConfig; root: string },
  io: Io,
  run?: string,
): RunPlace | undefined {
  const env = environmentOf(root, io.env as NodeJS.ProcessEnv);
  const found = resolveStore(config, root, env);
  if (!found) return undefined;
  const runId = run ?? runIdOf(stack, config);
  const access = { ...s3AccessOf(found), bucket: found.bucket, prefix: runPrefix(found, runId) };
  return { runId, access, options: { keysFrom: found.keysFrom, env } };
}

export function openPlace({ access, options }: RunPlace, more: StoreOptions = {}): OpenStore {
  return openStore(access, { ...options, ...more });
}

export interface RunStore {
  runId: string;
  store: ObjectStore;
  close(): void;
}

/**
 * `run` as in `placeOfRun`.
 * @throws UserError VL_NOT_FOUND when the stack has no store, VL_EMULATOR_DOWN, VL_STORE_NO_KEY
 */
export function openRunStore(stack: string, run: string | undefined, io: Io): RunStore {
  const root = findProjectRoot(io.cwd);
  const place = placeOfRun({ stack, config: readStackConfig(root, stack), root }, io, run);
  if (!place) {
    throw new UserError("VL_NOT_FOUND", {
      what: `stack ${stack} keeps no checkpoints in a store`,
      why: `Pulumi.${stack}.yaml has vastlane:checkpoint.store none`,
      hint: "set checkpoint.store to s3 or aws, then: vastlane up",
    });
  }
  const store = openPlace(place);
  return { runId: place.runId, store, close: () => store.close() };
}
