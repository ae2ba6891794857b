/** Can the checkpoint store of each stack be reached with the keys that are here? Looks only; makes nothing. */
import { UserError } from "../../common/errors.ts";
import { createS3 } from "../../common/s3.ts";
import { storeErrorOf } from "../../common/store-errors.ts";
import { environmentOf } from "../../infra/project.ts";
import { contextOf, describeStore, resolveStore, type Store, s3AccessOf } from "../../infra/storage/access.ts";
import { lookAtBucket } from "../../infra/storage/look.ts";
import { readStackConfig } from "../operation.ts";
import { stacksOf } from "../session.ts";
import type { CheckContext, Finding } from "./types.ts";

/** Of these a person need not care as long as that stack is not used. */
const NOT_NOW = new Set(["VL_EMULATOR_DOWN", "VL_STORE_NO_KEY", "VL_STORE_DOWN"]);

export async function checkStores({ env, root }: Pick<CheckContext, "env" | "root">): Promise<Finding> {
  const all = environmentOf(root, env as NodeJS.ProcessEnv);
  const looks = await Promise.all(stacksOf(root).map((stack) => lookAt(stack, root, all)));
  const found = looks.filter((look) => look !== undefined);
  if (found.length === 0) return { state: "ok", detail: "no stack has one: checkpoints stay on the machines' disks" };
  const order = ["fail", "warn", "ok"] as const;
  const worst = order.find((state) => found.some((look) => look.state === state)) ?? "ok";
  const fixes = found.flatMap(({ fix }) => fix ?? []);
  return {
    state: worst,
    detail: found.map(({ detail }) => detail).join("; "),
    ...(fixes.length > 0 && { fix: [...new Set(fixes)].join("\n") }),
  };
}

async function lookAt(stack: string, root: string, env: NodeJS.ProcessEnv): Promise<Finding | undefined> {
  try {
    const store = resolveStore(readStackConfig(root, stack), root, env);
    if (!store) return undefined;
    const isThere = (await look(store)) === "there";
    return {
      state: "ok",
      detail: `${stack}: ${describeStore(store)}${isThere ? "" : ", which `up` will make"}`,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const state = NOT_NOW.has(error.code) ? "warn" : "fail";
    return { state, detail: `${stack}: ${error.what}`, ...(error.hint && { fix: `${stack}: ${error.hint}` }) };
  }
}

async function look(store: Store): Promise<"there" | "missing"> {
  const client = await createS3(s3AccessOf(store), { attempts: 1, requestMs: 5000, connectMs: 3000 });
  try {
    return await lookAtBucket(client, store);
  } catch (error) {
    throw storeErrorOf(error, contextOf(store, `a list of ${store.bucket}`));
  } finally {
    client.destroy();
  }
}
