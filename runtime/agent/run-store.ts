/** The run's store as this machine reaches it, by what deploy has written; none where there is no such file. */
import { UserError } from "../../common/errors.ts";
import { readJsonIfThere } from "../../common/files.ts";
import { type OpenStore, openStore, readStoreAccess } from "../store/index.ts";

/**
 * `env`: of the container, which knows where an emulated market's store is from here.
 * @throws UserError VL_STORE_NO_KEY when the file is spoiled
 */
export function openRunStore(path: string, env: NodeJS.ProcessEnv): OpenStore | undefined {
  const access = readStoreAccess(path);
  if (!access) return undefined;
  const { emulated } = readJsonIfThere(path) as { emulated?: boolean };
  const endpoint = emulated ? env.VASTLANE_EMULATOR_S3 : access.endpoint;
  if (emulated && !endpoint) {
    throw new UserError("VL_STORE_NO_KEY", {
      what: "the emulated store's address is not known on this machine",
      why: "VASTLANE_EMULATOR_S3 is not in its environment: it was rented from an emulator without a store",
      hint: "rent it again: vastlane destroy, then vastlane up",
    });
  }
  return openStore({ ...access, endpoint }, { env });
}
